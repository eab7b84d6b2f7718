import type { HttpEvent } from '../../src/functions/aws/events.ts';
import type { Received } from './platform.ts';

interface Context {
  getRemainingTimeInMillis(): number;
}

interface Response {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly isBase64Encoded: boolean;
}

/** Of an invocation that Lambda ends after so many milliseconds. */
export function contextFor(timeoutMs: number): Context {
  const ends = Date.now() + timeoutMs;
  return { getRemainingTimeInMillis: () => ends - Date.now() };
}

/** Invokes a handler as Lambda does: event and response are handed over as JSON. */
export async function invoke(
  handler: (event: HttpEvent, context: Context) => Promise<unknown>,
  event: HttpEvent,
  timeoutMs: number,
): Promise<Received> {
  const handled = await handler(overJson(event), contextFor(timeoutMs));
  const { statusCode, headers, body, isBase64Encoded } = overJson(handled) as Response;
  return { status: statusCode, headers, body: Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8') };
}

function overJson<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value));
}
