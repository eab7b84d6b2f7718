import { setTimeout as sleep } from 'node:timers/promises';
import { Problem } from '../../errors/problem.ts';
import type { ConnectionParameters } from '../../schemas/connection.ts';
import type { Outbound } from '../delivery/outbound.ts';
import type { BridgeDependencies, BrokerProfile } from '../dependencies.ts';
import { brokerIdentity } from '../link/connect-options.ts';
import type { Dialer } from '../link/dial.ts';
import { problemOfFailure } from '../link/link-problems.ts';
import type { PacketIdentifiers } from '../link/packet-identifiers.ts';
import { Mutex } from '../mutex.ts';
import type { Outbox } from '../publications/outbox.ts';
import { Stopwatch } from '../stopwatch.ts';
import { LATE, unlessAborted, within } from '../waiting.ts';
import { type AttachingOptions, applySubscriptions, connectAttachment, openAttachment } from './attaching.ts';
import type { Attachment, Ending } from './attachment.ts';
import { Attempts } from './attempts.ts';
import type { Session } from './session.ts';
import type { Turns } from './turns.ts';
import type { WayBack } from './way-back.ts';

export interface NetworkConnectionOptions {
  deps: Pick<BridgeDependencies, 'store' | 'maxPayload'> & { dialer: Dialer };
  turns: Turns;
  session: Session;
  outbound: Outbound;
  outbox: Pick<Outbox, 'open' | 'close'>;
  identifiers: PacketIdentifiers;
  wayBack: Pick<WayBack, 'cancel' | 'failed' | 'lost'>;
  /** As they are now. */
  parameters: () => ConnectionParameters;
  profile: () => BrokerProfile | undefined;
  /** Takes the lease, or makes sure of it. Rejects when nothing may be attached. */
  own: () => Promise<void>;
  onStoreFailure: (error: unknown) => void;
}

/** Connect time-outs that a request to attach waits: one for its turn, one for CONNACK, one for SUBACK. */
const PATIENCE = 3;

/** A broker has sent what it kept when it was silent for so long: MQTT has no mark for that. */
const SILENCE_MS = 250;
const SETTLING_MS = 10;
/** A broker that was heard so recently is there; whoever slept longer asks it, and waits so long. */
const FRESH_MS = 1_000;
const PING_WITHIN_MS = 2_000;

/** The network connection of one Connection, or its absence: made, changed and ended one after the other. */
export class NetworkConnection {
  readonly #options: NetworkConnectionOptions;
  /** An attempt to attach does not hold it while the broker is silent: what needs no network connection goes on. */
  readonly #mutex = new Mutex();
  readonly #attempts: Attempts;
  #attachment: Attachment | null = null;

  constructor(options: NetworkConnectionOptions) {
    this.#options = options;
    this.#attempts = new Attempts(options.turns, (signal) => this.#attach(signal));
  }

  /** Whether there is one, be it that it is still being opened or just ends. */
  get exists(): boolean {
    return this.#attachment !== null;
  }
  get isBeingMade(): boolean {
    return this.#attempts.isUnderWay;
  }

  /** Milliseconds since the broker sent a message; for ever when there is no network connection. */
  get quietMs(): number {
    return this.#attachment?.quietMs ?? Number.POSITIVE_INFINITY;
  }

  /** Whether all that came is stored and acknowledged. */
  get hasSettled(): boolean {
    return this.#attachment?.hasSettled ?? true;
  }

  /** Resolves when the broker has sent nothing for a while, and all is stored; false when the time is over before. */
  async fallsSilent(withinMs: number, signal: AbortSignal): Promise<boolean> {
    const spent = new Stopwatch();
    while (!this.hasSettled || this.quietMs < SILENCE_MS) {
      const left = withinMs - spent.elapsedMs;
      if (left <= 0 || !this.#isAlive() || signal.aborted) return false;
      const wait = Math.min(left, Math.max(SILENCE_MS - this.quietMs, SETTLING_MS));
      await sleep(wait, undefined, { signal }).catch(() => undefined);
    }
    return true;
  }

  /** Makes sure that the broker is there, where it was not heard for a while; ends the network connection if it is not. */
  async prove(): Promise<void> {
    const attachment = this.#attachment;
    if (attachment === null) return;
    const { link } = attachment;
    if (link.alive && (link.silentForMs < FRESH_MS || (await link.answersPing(PING_WITHIN_MS)))) return;
    if (this.#attachment === attachment) this.abandon();
  }

  /** What was held back while it was not sure whether the lease is still ours may be sent. */
  letThrough(): void {
    this.#attachment?.letThrough();
  }

  /** Runs a task while nothing else makes, changes or ends it; an attempt that waits for CONNACK may be under way. */
  exclusively<Result>(task: () => Promise<Result>): Promise<Result> {
    return this.#mutex.run(task);
  }

  /**
   * Runs a task instead of the attempt, and of whatever else waits for the broker: that ends first. With `anew` the
   * attempt is made again afterwards. The task's signal is for what it waits for itself: the next such task aborts it.
   */
  instead<Result>(
    reason: Problem,
    task: (signal: AbortSignal) => Promise<Result>,
    { anew } = { anew: false },
  ): Promise<Result> {
    const ended = this.#attempts.interrupt(reason, { anew });
    const { signal } = this.#attempts;
    return this.#mutex.run(async () => {
      await ended;
      return task(signal);
    });
  }

  /** Resolves when there is one, with all that belongs to it; who asks shares the attempt. Rejects with the problem. */
  async make(): Promise<void> {
    // What is there needs no turn, only the end of what is being changed.
    if (!this.isBeingMade && this.#isAlive()) await this.#mutex.run(() => Promise.resolve());
    if (this.isBeingMade || !this.#isAlive()) {
      await this.#attempts.join(brokerIdentity(this.#options.parameters()));
    }
  }

  /** The same, and rejects with `no-answer` when that takes longer than the one who asked should wait. */
  async makeInTime(): Promise<void> {
    const { connectTimeout } = this.#options.parameters();
    if ((await within(connectTimeout * 1000 * PATIENCE, this.make())) === LATE) {
      throw new Problem('no-answer', { detail: 'Not attached in time: other Connections to this broker come first' });
    }
  }

  /**
   * Makes the broker's subscriptions the wanted ones, and asks for these filters although they are granted. False when
   * there is no network connection: the attempt under way, or the next, will follow.
   */
  follow(filters: readonly string[] = []): Promise<boolean> {
    const { session, parameters } = this.#options;
    const { signal } = this.#attempts;
    return this.#mutex.run(async () => {
      if (this.#attachment === null || signal.aborted) return false;
      for (const filter of filters) session.table.forget(filter);
      try {
        await applySubscriptions(this.#attachment, { parameters: parameters(), session, signal });
        return true;
      } catch (error) {
        if (signal.aborted) return false;
        throw problemOfFailure(error, parameters().protocolVersion);
      }
    });
  }

  /** Ends it in order. Answers whether DISCONNECT could be sent. */
  async end(ending: Ending = {}): Promise<boolean> {
    const attachment = this.#attachment;
    // Its loss while it is being ended is no loss.
    this.#gone();
    const told = attachment !== null && (await attachment.end(ending));
    const { sessionExpiryInterval } = ending;
    if (told && sessionExpiryInterval !== undefined) {
      this.#options.session.set({ sessionExpiry: sessionExpiryInterval });
    }
    return told;
  }

  /** Ends it at once, and with a reason what waits for the broker. With DISCONNECT: it is no reason to publish the Will. */
  abandon(reason?: Problem): void {
    if (reason !== undefined) this.#attempts.interrupt(reason);
    this.#attachment?.abandon();
    this.#gone();
  }

  #gone(): void {
    this.#attachment = null;
    this.#options.outbox.close();
  }

  #isAlive(): boolean {
    return this.#attachment?.link.alive === true;
  }

  /** One attempt. Who interrupts it says what becomes of the Connection; else the way back does. */
  async #attach(signal: AbortSignal): Promise<void> {
    const exclusively = <Result>(task: () => Promise<Result>) =>
      unlessAborted(
        signal,
        this.#mutex.run(() => {
          signal.throwIfAborted();
          return task();
        }),
      );
    let attachment: Attachment | null = null;
    try {
      if (!(await exclusively(() => this.#prepare()))) return;
      const options = this.#attachingOptions(signal);
      const connected = await connectAttachment(options);
      attachment = connected;
      await exclusively(() => this.#open(connected, options));
    } catch (error) {
      attachment?.abandon();
      signal.throwIfAborted();
      throw await exclusively(() => this.#options.wayBack.failed(error));
    }
  }

  /** Before CONNECT; false when there is one already. */
  async #prepare(): Promise<boolean> {
    if (this.#isAlive()) return false;
    const { session, wayBack, own } = this.#options;
    wayBack.cancel();
    await own();
    const { state, wanted } = session.status;
    session.set({ wanted: true });
    if (state !== 'offline') session.setState('connecting', null);
    // From here on something may be under way: who takes it after a crash must not find it at rest.
    if (state === 'parked' || !wanted) await session.save();
    return true;
  }

  /** After CONNACK. */
  async #open(attachment: Attachment, options: AttachingOptions): Promise<void> {
    this.#attachment = attachment;
    try {
      await openAttachment(attachment, options, this.#options.parameters());
      this.#openOutbox(attachment);
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  /** Not before the store knows which exchanges never were any: those messages come before all others. */
  #openOutbox(attachment: Attachment): void {
    const { outbound, outbox } = this.#options;
    const open = () => {
      if (this.#attachment === attachment) outbox.open();
    };
    outbound.exchangesForgotten().then(open, open);
  }

  #attachingOptions(signal: AbortSignal): AttachingOptions {
    const { parameters, profile, wayBack, ...rest } = this.#options;
    return {
      ...rest,
      parameters: parameters(),
      profile: profile(),
      limits: () => parameters().queue,
      signal,
      onLost: (end, connectedAt) => {
        this.#gone();
        // Without the lease it was kept in case that this process is the next to need it, and nobody wants it back.
        if (rest.session.lease !== null) wayBack.lost(end, connectedAt);
      },
    };
  }
}
