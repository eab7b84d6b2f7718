import type { Readiness } from './facade.ts';
import type { PerBroker } from './per-broker.ts';
import type { Store } from './ports.ts';
import type { RetainedReader } from './retained.ts';
import { LATE, within } from './waiting.ts';

const TIMEOUT_MS = 2_000;
const DEFAULT_BROKER = 'default';

/** Whether requests can be served: the store answers, and so does the default broker, where there is one. */
export async function readiness(
  store: Pick<Store, 'ping'>,
  readers: PerBroker<Pick<RetainedReader, 'link'>>,
): Promise<Readiness> {
  const [storeState, broker] = await Promise.all([
    check(store.ping()),
    readers.has(DEFAULT_BROKER)
      ? check(readers.get(DEFAULT_BROKER).link())
      : { ok: true, detail: 'no default broker is configured' },
  ]);
  return { ready: storeState.ok && broker.ok, store: storeState, broker };
}

async function check(task: Promise<unknown>): Promise<{ ok: boolean; detail?: string }> {
  try {
    return (await within(TIMEOUT_MS, task)) === LATE ? { ok: false, detail: 'no answer in time' } : { ok: true };
  } catch (error) {
    return { ok: false, detail: error instanceof Error ? error.message : String(error) };
  }
}
