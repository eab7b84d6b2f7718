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

/** The keys and arguments of one run of a script. */
export interface Call {
  readonly keys: readonly string[];
  readonly args: readonly Argument[];
}

export interface Commands extends Runner {
  /**
   * Runs a script for each of many calls, in pipelines of each server's own. Answers, in the place of each call, its
   * reply or the `StoreUnavailable` that it ended with; one that failed says nothing of the others. Never rejects.
   */
  runEach(script: ScriptName, calls: readonly Call[]): Promise<unknown[]>;
  /** Any other command; its first key decides where it goes. */
  send(command: string, ...args: Argument[]): Promise<unknown>;
}

/** Calls in one pipeline: what it holds up on its connection, and holds in memory, is bounded. */
const PIPELINE_LENGTH = 500;

/** What a server answers in place of running a script: it does not know it (any more), or another one has the slot. */
const NOT_RUN = /^(?:NOSCRIPT|MOVED|ASK|TRYAGAIN) /;

/** The one place where commands are sent. */
export class RedisClient implements Commands {
  readonly #connection: Connection;
  readonly #scripts: Scripts;
  /** Scripts that are being run: one that its server does not know is sent a second time, with its source. */
  readonly #running = new Set<Promise<unknown>>();

  constructor(connection: Connection, scripts: Scripts) {
    this.#connection = connection;
    this.#scripts = scripts;
  }

  run(name: ScriptName, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    return this.#untilDone(this.#run(name, keys, args));
  }

  runEach(name: ScriptName, calls: readonly Call[]): Promise<unknown[]> {
    return this.#untilDone(this.#runEach(name, calls));
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
    await Promise.allSettled(this.#running);
    // QUIT is answered last; where it cannot be, there is nothing to wait for.
    await this.#connection.quit().catch(() => {});
    this.#connection.disconnect();
  }

  async #run(name: ScriptName, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
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

  async #runEach(name: ScriptName, calls: readonly Call[]): Promise<unknown[]> {
    const replies = new Map<Call, unknown>();
    const shares = Map.groupBy(calls, ({ keys: [first = ''] }) => this.masterOf(first));
    const runShare = async (server: Redis | undefined, share: readonly Call[]) => {
      for (let from = 0; from < share.length; from += PIPELINE_LENGTH) {
        const part = share.slice(from, from + PIPELINE_LENGTH);
        const answered = await this.#runTogether(server, name, part);
        for (const [place, call] of part.entries()) replies.set(call, answered[place]);
      }
    };
    await Promise.all([...shares].map(([server, share]) => runShare(server, share)));
    return calls.map((call) => replies.get(call));
  }

  async #untilDone<Reply>(running: Promise<Reply>): Promise<Reply> {
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  async #runTogether(server: Redis | undefined, name: ScriptName, calls: readonly Call[]): Promise<unknown[]> {
    const runAlone = ({ keys, args }: Call) => this.run(name, keys, args).catch((error: unknown) => error);
    // A Cluster's slot without a known master: what there is to say of it is said to each.
    if (server === undefined) return await Promise.all(calls.map(runAlone));
    const { sha } = this.#scripts[name];
    const pipeline = server.pipeline();
    for (const { keys, args } of calls) pipeline.callBuffer('EVALSHA', [sha, keys.length, ...keys, ...args]);
    const replies = (await pipeline.exec()) ?? [];
    return await Promise.all(
      calls.map((call, place) => {
        const [error, reply] = replies[place] ?? [new Error('a pipeline was cut short')];
        if (error === null) return reply;
        return NOT_RUN.test(error.message) ? runAlone(call) : unavailable(error);
      }),
    );
  }
}
