import { setTimeout as pause } from 'node:timers/promises';
import type { Log } from './dependencies.ts';
import type { Bridge, Readiness } from './facade.ts';
import { storeProblem } from './link/link-problems.ts';
import { StoreUnavailable } from './ports.ts';
import { within } from './waiting.ts';

const RETRY_MS = 1_000;
/** How long a start waits for a store that does not answer before requests are, with 503. */
const PATIENCE_MS = 5_000;

export interface OpenBridge {
  readonly bridge: Bridge;
  /** Stops the bridge, then closes its store. Idempotent. */
  close(leaveInMs?: number): Promise<void>;
}

/**
 * A bridge on a store that may come up after it. `start` opens it, and tries again while the store is out of reach: until
 * then whatever is asked of it is 503 `store-unavailable`, and it is not ready.
 */
export function createLateBridge(open: () => Promise<OpenBridge>, log: Log): OpenBridge {
  const late = new LateBridge(open, log);
  const bridge = new Proxy({} as Bridge, {
    get: (_target, name) => {
      if (name === 'start') return () => late.start();
      if (name === 'readiness') return () => late.readiness();
      return async (...args: unknown[]) => {
        const method: unknown = Reflect.get(late.opened, name);
        return typeof method === 'function' ? method(...args) : undefined;
      };
    },
  });
  return { bridge, close: (leaveInMs) => late.close(leaveInMs) };
}

class LateBridge {
  readonly #open: () => Promise<OpenBridge>;
  readonly #log: Log;
  readonly #closing = new AbortController();
  #opened: OpenBridge | null = null;
  /** Why it is not open. */
  #reason: Error = new Error('The store is being opened');
  #hasFailed = false;

  constructor(open: () => Promise<OpenBridge>, log: Log) {
    this.#open = open;
    this.#log = log;
  }

  /** Throws `store-unavailable` until it is open. */
  get opened(): Bridge {
    if (this.#opened === null) throw storeProblem(this.#reason);
    return this.#opened.bridge;
  }

  /** Resolves when it is open, or has to wait for that. */
  async start(): Promise<void> {
    const first = this.#attempt();
    this.#repeat(first);
    await within(PATIENCE_MS, first);
  }

  async readiness(): Promise<Readiness> {
    if (this.#opened !== null) return this.#opened.bridge.readiness();
    return {
      ready: false,
      store: { ok: false, detail: this.#reason.message },
      broker: { ok: false, detail: 'not asked before the store is open' },
    };
  }

  async close(leaveInMs?: number): Promise<void> {
    this.#closing.abort();
    await this.#opened?.close(leaveInMs);
  }

  async #repeat(first: Promise<void>): Promise<void> {
    const { signal } = this.#closing;
    await first;
    while (this.#opened === null && !signal.aborted) {
      await pause(RETRY_MS, undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) await this.#attempt();
    }
  }

  async #attempt(): Promise<void> {
    try {
      const opened = await this.#openAndStart();
      if (this.#hasFailed) this.#log.info({}, 'the store is open');
      this.#opened = opened;
      if (this.#closing.signal.aborted) await opened.close();
    } catch (error) {
      this.#report(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Nobody is answered before that which was there is on its way back. */
  async #openAndStart(): Promise<OpenBridge> {
    const open = await this.#open();
    try {
      await open.bridge.start();
      return open;
    } catch (error) {
      await open.close();
      throw error;
    }
  }

  /** Once for each reason. */
  #report(error: Error): void {
    if (error.message !== this.#reason.message) {
      const details = error instanceof StoreUnavailable ? { reason: error.message } : { err: error };
      this.#log.warn(details, 'the store cannot be opened yet; trying again until it can');
    }
    this.#hasFailed = true;
    this.#reason = error;
  }
}
