import type { StateReason } from '../../schemas/connection-view.ts';
import type { Session } from './session.ts';

const QUEUE_FULL: StateReason = {
  code: 'queue-full',
  detail:
    'The queue is full and holds (`queue.overflow`): nothing more is acknowledged to the broker until messages are removed',
};

/** Says while online that the queue holds; what was said before is said again once it does not. */
export function sayQueueFull(session: Session): (held: boolean) => void {
  let before: StateReason | null = null;
  return (held) => {
    if (session.status.state !== 'online') return;
    if (held) before = session.status.reason;
    session.setState('online', held ? QUEUE_FULL : before);
    // For other instances to see. A lease that is lost shows at the next append.
    session.save().catch(() => undefined);
  };
}
