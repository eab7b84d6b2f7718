import { setTimeout as pause } from 'node:timers/promises';
import type { Requester } from './balancer.ts';
import type { Answer } from './bridge-process.ts';
import type { Sender } from './ledger.ts';

/** Milliseconds after which a caller with a key no longer expects to be told what became of its message. */
const PATIENCE = 30_000;
/** Milliseconds before such a caller asks again. */
const AGAIN = 100;
/** Seconds that the bridge is given to publish a message. */
const TIMEOUT = 3;

/** Problems that leave it open what became of a message: with a key it can be asked again. */
const OPEN = new Set(['still-running', 'outcome-unknown']);

/** Where callers publish, and what they note. */
export interface Calls {
  readonly requester: Requester;
  /** Of the Connection. */
  readonly path: string;
  readonly topic: string;
  readonly qos: 1 | 2;
  readonly sender: Sender;
  /** Answers that are neither a result nor a problem that its sender has to reckon with. */
  readonly strange: string[];
}

interface Problem {
  readonly type?: string;
}

/** Publishes one message with one request. Answers whether it was acknowledged. */
export async function callOnce({ requester, path, topic, qos, sender, strange }: Calls): Promise<boolean> {
  const [payload = ''] = sender.begin(1);
  const json = { topic, payload, qos, timeout: TIMEOUT };
  try {
    const answer = await requester.request<Problem>('POST', `${path}/publish`, { json });
    if (answer.status === 200) sender.acknowledge([payload]);
    else if (isNotSent(answer)) sender.refuse(payload);
    else if (problemOf(answer) !== 'outcome-unknown') strange.push(`${answer.status} ${answer.text}`);
    return answer.status === 200;
  } catch {
    // The process was killed, before or after it had published.
    return false;
  }
}

/**
 * Publishes one message, and repeats the request with the same Idempotency-Key until it has an outcome: at QoS 2, with a
 * session that lives on, that it is done; at QoS 1 perhaps that nobody knows. Answers whether it was acknowledged.
 */
export async function callWithKey({ requester, path, topic, qos, sender, strange }: Calls): Promise<boolean> {
  const [payload = ''] = sender.begin(1);
  const json = { topic, payload, qos, timeout: TIMEOUT };
  const headers = { 'idempotency-key': payload };
  const givesUpAt = performance.now() + PATIENCE;
  let said = '';
  do {
    try {
      const answer = await requester.request<Problem>('POST', `${path}/publish`, { json, headers });
      if (answer.status === 200) sender.acknowledge([payload]);
      if (answer.status === 200) return true;
      said = `${answer.status} ${answer.text}`;
      const isOutcome = answer.headers['idempotency-replayed'] === 'true';
      if (isOutcome && qos === 1 && problemOf(answer) === 'outcome-unknown') return false;
      if (isOutcome || !(isNotSent(answer) || OPEN.has(problemOf(answer)))) break;
    } catch (error) {
      said = String(error);
    }
    await pause(AGAIN);
  } while (performance.now() < givesUpAt);
  strange.push(`no outcome for the key of "${payload}": ${said}`);
  return false;
}

/** What the catalogue promises of a gateway's failures: nothing was sent, unless the outcome is said to be unknown. */
function isNotSent(answer: Answer<Problem>): boolean {
  const problem = problemOf(answer);
  return [502, 503, 504].includes(answer.status) && problem !== '' && problem !== 'outcome-unknown';
}

function problemOf({ json }: Answer<Problem>): string {
  return json?.type?.replace('/problems/', '') ?? '';
}
