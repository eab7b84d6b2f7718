import { Cluster, Command, type Redis } from 'ioredis';
import type { Connection } from './connect.ts';
import { unavailable } from './errors.ts';
import type { ScriptName, Scripts } from './scripts.ts';

export type Argument = string | number | Buffer;

/** Runs scripts. Every reply is made of numbers, bytes, nulls and arrays of them; failures are `StoreUnavailable`. */
export interface Runner {
  /** All `keys` must share one hash tag: the call goes to their slot. */
  run(script: ScriptName, keys: readonly string[], args: readonly Argument[]): Promise<unknown>;
}

export interface Commands extends Runner {
  /** Any other command; its first key decides where it goes. */
  send(command: string, ...args: Argument[]): Promise<unknown>;
}

/** The one place where commands are sent. */
export class RedisClient implements Commands {
  readonly #connection: Connection;
  readonly #scripts: Scripts;

  constructor(connection: Connection, scripts: Scripts) {
    this.#connection = connection;
    this.#scripts = scripts;
  }

  async run(name: ScriptName, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    const { sha, source } = this.#scripts[name];
    const rest = [keys.length, ...keys, ...args];
    try {
      return await this.#connection.callBuffer('EVALSHA', [sha, ...rest]);
    } catch (error) {
      // The server forgot its scripts (SCRIPT FLUSH, a restart, a fail-over), or never knew this one. It ran nothing.
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw unavailable(error);
    }
    return await this.send('EVAL', source, ...rest);
  }

  async send(command: string, ...args: Argument[]): Promise<unknown> {
    try {
      return await this.#connection.callBuffer(command, args);
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** The servers that take writes: one, or every master of a Cluster. */
  masters(): Redis[] {
    return this.#connection instanceof Cluster ? this.#connection.nodes('master') : [this.#connection];
  }

  /** The server that has this key; undefined while a Cluster's layout is not known. */
  masterOf(key: string): Redis | undefined {
    if (!(this.#connection instanceof Cluster)) return this.#connection;
    const [name] = this.#connection.slots[new Command('get', [key]).getSlot()] ?? [];
    return this.masters().find(({ options }) => `${options.host}:${options.port}` === name);
  }

  /** A Cluster answers as long as one of its nodes does: the keys of the others are unavailable one by one. */
  async ping(): Promise<void> {
    try {
      await Promise.any(this.masters().map((master) => master.ping()));
    } catch (error) {
      throw unavailable(error instanceof AggregateError ? (error.errors[0] ?? 'no node is known') : error);
    }
  }

  /** Waits for the replies to all that was sent, then closes. */
  async close(): Promise<void> {
    // QUIT is answered last; where it cannot be, there is nothing to wait for.
    await this.#connection.quit().catch(() => {});
    this.#connection.disconnect();
  }
}
