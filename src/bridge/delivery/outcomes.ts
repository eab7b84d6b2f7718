import type { ProblemName } from '../../errors/catalogue.ts';
import { Problem, type ProblemDocument } from '../../errors/problem.ts';
import type { PublishOutcome } from '../../mqtt/message.ts';
import type { ItemState } from '../ports.ts';
import { outcomeUnknown } from './publish-answers.ts';

/** What ends a publish for good. Any other problem says that the message was not sent: a repeat may try again. */
const FINAL: ReadonlySet<ProblemName> = new Set([
  'outcome-unknown',
  'broker-refused',
  'invalid-request',
  'payload-too-large',
]);

/** Whether it is what became of the message, not of the attempt to send it. */
export function isFinal(answer: PublishOutcome | Problem): boolean {
  return !(answer instanceof Problem) || FINAL.has(answer.type);
}

/** As the store keeps it. */
export function encodeOutcome(answer: PublishOutcome | Problem): string {
  return JSON.stringify(answer);
}

/** What became of an item; null when that is not decided yet. */
export function outcomeOf(item: ItemState): PublishOutcome | Problem | null {
  if (item.state === 'done') return decodeOutcome(item.outcome);
  if (item.state !== 'lost') return null;
  return outcomeUnknown('The broker lost the session while the exchange was under way');
}

function decodeOutcome(text: string): PublishOutcome | Problem {
  const document = JSON.parse(text) as PublishOutcome | ProblemDocument;
  return 'type' in document ? Problem.from(document) : document;
}
