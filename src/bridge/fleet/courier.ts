import { randomBytes } from 'node:crypto';
import { Problem } from '../../errors/problem.ts';
import { GroupWorker } from '../delivery/group-worker.ts';
import type { Log } from '../dependencies.ts';
import { notOwner, problemOf } from '../link/link-problems.ts';
import { type Bus, type Holder, type Listening, type Members, StoreUnavailable } from '../ports.ts';
import { Stopwatch } from '../stopwatch.ts';
import { LATE, within } from '../waiting.ts';
import { decode, encode } from './codec.ts';
import type { FrameBox } from './frame-box.ts';
import { StoreClock } from './store-clock.ts';

/** In one frame: whatever came while the one before was being sent. */
const MAX_GROUP = { items: 512, bytes: 4 * 1024 * 1024 };
/** Calls that wait for the answers of one instance: it must not be sent more than it can hold. */
const WINDOW = { calls: 10_000, bytes: 64 * 1024 * 1024 };

/** Whoever gets it drops it: that it arrives is all that is asked for. */
export const NOTHING = new Uint8Array(0);
/** A process that may be frozen, and heard nothing for longer, makes sure that it is reached. */
const FRESH_MS = 2_000;
const ECHO_WITHIN_MS = 1_000;
/** How long a call may be on its way, in milliseconds: its caller waits for that at least, whatever happens to the frame. */
const BEGUN_WITHIN_MS = 3_000;
/** How long what others asked for may take once this instance stops. */
const STOP_WITHIN_MS = 2_000;

interface Call {
  readonly id: string;
  /** Milliseconds by the store's clock: later it is not begun any more. */
  readonly until: number;
  readonly method: string;
  readonly args: readonly unknown[];
}
interface Answer {
  readonly id: string;
  readonly value?: unknown;
  readonly problem?: Problem;
}
interface Frame {
  readonly from: string;
  readonly calls: readonly Call[];
  readonly answers: readonly Answer[];
}

interface Pending {
  readonly to: string;
  readonly bytes: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly deadline: NodeJS.Timeout;
}

/** What is to be sent to one instance, and how much of it waits for an answer. */
interface Line {
  readonly worker: GroupWorker<{ item: Call | Answer; bytes: number }>;
  calls: number;
  bytes: number;
}

/** The call reached nobody: whatever it asks for was not done. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';
}
/** There was no answer: what it asks for may have been done. */
export class Unanswered extends Error {
  override readonly name = 'Unanswered';
}

export interface CourierOptions {
  bus: Bus;
  members: Pick<Members, 'time'>;
  holder: Holder;
  box: FrameBox;
  /** Does what another instance asks for. Rejects with a `Problem`. */
  serve: (method: string, args: readonly unknown[]) => Promise<unknown>;
  /** This process may be frozen: then it does not notice that it is reached no more. */
  mayFreeze?: boolean;
  log: Log;
}

/**
 * Calls from one instance to another through the store's bus, which may lose them: each has a deadline. Calls and
 * answers to the same instance that come together share a frame, in their order.
 */
export class Courier {
  readonly #options: CourierOptions;
  readonly #clock: StoreClock;
  readonly #lines = new Map<string, Line>();
  readonly #pending = new Map<string, Pending>();
  /** In the ids of calls: an answer to the process before is none to this one. */
  readonly #prefix = randomBytes(6).toString('base64url');
  #count = 0;
  #listening: Listening | null = null;
  /** Since a frame came. */
  readonly #unheard = new Stopwatch();
  /** Who waits for the next frame. */
  readonly #awaiting = new Set<() => void>();
  /** What others asked for and has no answer yet. */
  readonly #serving = new Set<Promise<void>>();

  constructor(options: CourierOptions) {
    this.#options = options;
    this.#clock = new StoreClock(options.members);
  }

  /** From now on this instance is reached. */
  async start(): Promise<void> {
    const { bus, holder } = this.#options;
    const listen = async () => {
      this.#listening = await bus.listen(holder.nodeId, (frame) => this.#receive(frame));
    };
    await Promise.all([listen(), this.#clock.set()]);
  }

  /** To be done now and then: clocks drift, and can be set. */
  async keepTime(): Promise<void> {
    await this.#clock.set().catch((err) => this.#options.log.warn({ err }, 'the store was not asked for the time'));
  }

  /** Makes sure that answers will arrive. */
  async #prove(): Promise<void> {
    const { bus, holder } = this.#options;
    await this.keepTime();
    const heard = new Promise<void>((resolve) => this.#awaiting.add(resolve));
    const reached = await bus.send(holder.nodeId, NOTHING);
    if (reached && (await within(ECHO_WITHIN_MS, heard)) !== LATE) return;
    this.#listening?.stop();
    await this.start();
    this.#unheard.restart();
  }

  /**
   * Resolves with the answer, or rejects with the other's `Problem`; with `Unreachable` when nobody got the call, with
   * `Unanswered` when no answer came in time; with `overloaded` when too much waits for that instance already.
   */
  call(to: string, method: string, args: readonly unknown[], withinMs: number): Promise<unknown> {
    if (!this.#options.mayFreeze || this.#unheard.elapsedMs < FRESH_MS) return this.#call(to, method, args, withinMs);
    return this.#prove().then(() => this.#call(to, method, args, withinMs));
  }

  #call(to: string, method: string, args: readonly unknown[], withinMs: number): Promise<unknown> {
    // Without a way back there would be no answer.
    if (this.#listening?.isUp !== true) return Promise.reject(new Unreachable('This instance is not reached'));
    const line = this.#lineTo(to);
    const bytes = sizeOf(args);
    if (line.calls >= WINDOW.calls || (line.calls > 0 && line.bytes + bytes > WINDOW.bytes)) {
      return Promise.reject(new Problem('overloaded', { detail: 'Too much waits for the owner', retryAfter: 1 }));
    }
    this.#count += 1;
    const id = `${this.#prefix}.${this.#count}`;
    line.calls += 1;
    line.bytes += bytes;
    return new Promise((resolve, reject) => {
      const late = () => this.#settle(id, ({ reject: fail }) => fail(new Unanswered(`${to} did not answer in time`)));
      const deadline = setTimeout(late, withinMs);
      this.#pending.set(id, { to, bytes, resolve, reject, deadline });
      const until = this.#clock.earliest + Math.min(withinMs, BEGUN_WITHIN_MS);
      this.#send(line, { id, until, method, args }, bytes);
    });
  }

  /** An instance has died, or its process was replaced: it answers no more. Answers how many calls waited for it. */
  giveUpOn(nodeId: string): number {
    const given = [...this.#pending].filter(([, { to }]) => to === nodeId);
    for (const [id] of given) this.#settle(id, ({ reject }) => reject(new Unanswered(`${nodeId} has ended`)));
    return given.length;
  }

  /** Takes no more; ends once what was taken has its answer, and that has left. Who still waits for one gets none. */
  async stop(): Promise<void> {
    this.#listening?.stop();
    await within(STOP_WITHIN_MS, Promise.all(this.#serving));
    // The last answers wait for the end of this turn of the event loop.
    for (const { worker } of this.#lines.values()) worker.start();
    await Promise.all([...this.#lines.values()].map(({ worker }) => worker.idle()));
    for (const id of [...this.#pending.keys()]) {
      this.#settle(id, ({ reject }) => reject(new Unanswered('This instance is shutting down')));
    }
  }

  #lineTo(nodeId: string): Line {
    const known = this.#lines.get(nodeId);
    if (known !== undefined) return known;
    const worker = new GroupWorker<{ item: Call | Answer; bytes: number }>({
      maxGroup: MAX_GROUP.items,
      maxBytes: MAX_GROUP.bytes,
      bytesOf: ({ bytes }) => bytes,
      work: (group) =>
        this.#sendFrame(
          nodeId,
          group.map(({ item }) => item),
        ),
      onFailure: (err) => this.#options.log.error({ err }, 'a frame to another instance could not be made'),
    });
    const line = { worker, calls: 0, bytes: 0 };
    this.#lines.set(nodeId, line);
    return line;
  }

  #send(line: Line, item: Call | Answer, bytes: number): void {
    line.worker.add({ item, bytes });
    // What comes in the same turn of the event loop shares the frame.
    setImmediate(() => line.worker.start());
  }

  async #sendFrame(to: string, items: readonly (Call | Answer)[]): Promise<void> {
    const calls = items.filter((item) => 'method' in item);
    const answers = items.filter((item) => !('method' in item));
    const frame = { from: this.#options.holder.nodeId, calls, answers } satisfies Frame;
    try {
      const { bus, box } = this.#options;
      if (await bus.send(to, box.seal(encode(frame), to))) return;
      this.#failAll(calls, new Unreachable(`${to} is not there`));
    } catch (cause) {
      this.#sendFailed(calls, cause);
    }
  }

  /** What may be on its way all the same is given up when it is not begun any more: who is told so must not be overtaken. */
  #sendFailed(calls: readonly Call[], cause: unknown): void {
    if (cause instanceof StoreUnavailable && !cause.mayHaveCommitted) {
      this.#failAll(calls, new Unreachable('The call was not sent', { cause }));
      return;
    }
    for (const call of calls) {
      const unanswered = new Unanswered('The store failed under the call', { cause });
      setTimeout(() => this.#failAll([call], unanswered), Math.max(0, call.until - this.#clock.earliest));
    }
  }

  #failAll(calls: readonly Call[], error: Error): void {
    for (const { id } of calls) this.#settle(id, ({ reject }) => reject(error));
  }

  #receive(bytes: Uint8Array): void {
    this.#unheard.restart();
    for (const resolve of this.#awaiting) resolve();
    this.#awaiting.clear();
    if (bytes.length === 0) return;
    let frame: Frame;
    try {
      const { box, holder } = this.#options;
      frame = decode(box.open(bytes, holder.nodeId)) as Frame;
    } catch (err) {
      this.#options.log.warn({ err }, 'a frame of another instance could not be read');
      return;
    }
    for (const { id, problem, value } of frame.answers) {
      this.#settle(id, ({ resolve, reject }) => (problem === undefined ? resolve(value) : reject(problem)));
    }
    for (const call of frame.calls) {
      const served = this.#serve(frame.from, call).finally(() => this.#serving.delete(served));
      this.#serving.add(served);
    }
  }

  /** What comes too late was held up on its way: its caller may have been told that there was no answer, and gone on. */
  async #serve(from: string, { id, until, method, args }: Call): Promise<void> {
    const isLate = this.#clock.latest > until;
    // Unless it is our clock that was set.
    if (isLate) void this.keepTime();
    const answer: Answer = await (isLate ? Promise.reject(notOwner()) : this.#options.serve(method, args))
      .then((value) => ({ id, value }))
      .catch((error) => ({ id, problem: problemOf(error) }));
    this.#send(this.#lineTo(from), answer, sizeOf(answer.value));
  }

  #settle(id: string, settle: (pending: Pending) => void): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    clearTimeout(pending.deadline);
    const line = this.#lineTo(pending.to);
    line.calls -= 1;
    line.bytes -= pending.bytes;
    settle(pending);
  }
}

/** Of the binary data and text in a value: about what it takes. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (value instanceof Uint8Array) return value.length;
  if (typeof value !== 'object' || value === null) return 8;
  return Object.values(value).reduce((sum: number, item) => sum + sizeOf(item), 0);
}
