import type { Mosquitto } from '../test/helpers/mosquitto.ts';
import { until } from '../test/helpers/until.ts';

/** Who came to a broker, and who went, with the time (`performance.now`) at which it said so. */
export interface ClientLog {
  /** Forgets what was until now. */
  begin(): void;
  /** ClientIDs, when each connected first. */
  readonly came: ReadonlyMap<string, number>;
  /** ClientIDs, when each disconnected last. */
  readonly went: ReadonlyMap<string, number>;
  /** Waits until so many different clients came, or went. */
  wait(what: 'came' | 'went', count: number, within: number): Promise<void>;
}

/** Reads the log of a broker that tells of its clients, of those that begin with "bench-": nobody's own word is taken for it. */
export function readClientLog(broker: Mosquitto): ClientLog {
  const came = new Map<string, number>();
  const went = new Map<string, number>();
  let rest = '';
  broker.onLog((text) => {
    const now = performance.now();
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [, client] = /^New client connected from \S+ as (bench-\S+) /.exec(line) ?? [];
      const [, gone] = /^Client (bench-\S+) /.exec(line) ?? [];
      if (client !== undefined && !came.has(client)) came.set(client, now);
      if (gone !== undefined) went.set(gone, now);
    }
  });
  return {
    came,
    went,
    begin() {
      came.clear();
      went.clear();
    },
    async wait(what, count, within) {
      const clients = what === 'came' ? came : went;
      await until(() => clients.size >= count, { what: `${count} clients ${what}`, within });
    },
  };
}
