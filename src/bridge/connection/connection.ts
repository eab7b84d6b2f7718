import { Problem } from '../../errors/problem.ts';
import type { OutgoingMessage, PublishOutcome } from '../../mqtt/message.ts';
import type { ConnectionParameters } from '../../schemas/connection.ts';
import type { SubscriptionView } from '../../schemas/subscription.ts';
import { Outbound } from '../delivery/outbound.ts';
import type { BridgeDependencies } from '../dependencies.ts';
import { brokerIdentity } from '../link/connect-options.ts';
import type { Dialer } from '../link/dial.ts';
import { notOwner, problemOfFailure } from '../link/link-problems.ts';
import { PacketIdentifiers } from '../link/packet-identifiers.ts';
import { Mutex } from '../mutex.ts';
import { type ConnectionRecord, type Key, type Lease, StaleEpoch } from '../ports.ts';
import { LATE, unlessAborted, within } from '../waiting.ts';
import {
  type AttachingOptions,
  applySubscriptions,
  connectAttachment,
  interrupted,
  openAttachment,
} from './attaching.ts';
import type { Attachment, Ending } from './attachment.ts';
import { Attempts } from './attempts.ts';
import { type Discarded, discardSession } from './discard-session.ts';
import { Session } from './session.ts';
import type { SessionStatus } from './session-status.ts';
import type { Turns } from './turns.ts';
import { WayBack } from './way-back.ts';

export interface ConnectionDependencies
  extends Pick<BridgeDependencies, 'store' | 'brokers' | 'nodeId' | 'leaseTtlMs' | 'maxPayload' | 'log'> {
  dialer: Dialer;
  /** Which all Connections of this process share. */
  turns: Turns;
  /** The parameters in a record, secrets too. */
  readParameters: (record: ConnectionRecord) => ConnectionParameters;
}

/** What a change of the parameters asks for. */
export interface Consequences {
  /** Another CONNECT, to the same session. */
  reattach: boolean;
  /** SUBSCRIBE or UNSUBSCRIBE. */
  subscriptions: boolean;
}

/** Connect time-outs that a request to attach waits: one for its turn, one for CONNACK, one for SUBACK. */
const PATIENCE = 3;

/**
 * One Connection's life in this process: lease, network connection and session. What it knows survives in the store; a
 * Connection object may be dropped and made again from its record at any time.
 *
 * The lease is held while the Connection is attached or wants to be: not when it is parked, refused or taken over.
 */
export class Connection {
  readonly key: Key;
  readonly #deps: ConnectionDependencies;
  /**
   * What changes the network connection is done one after the other. An attempt to attach does not hold it while the
   * broker is silent: what needs no network connection goes on meanwhile.
   */
  readonly #mutex = new Mutex();
  readonly #identifiers = new PacketIdentifiers();
  readonly #session: Session;
  readonly #outbound: Outbound;
  readonly #attempts: Attempts;
  readonly #wayBack: WayBack;
  #parameters: ConnectionParameters;
  #attachment: Attachment | null = null;
  /** What is answered once it has ended for good. */
  #finished: Problem | null = null;

  constructor(record: ConnectionRecord, dependencies: ConnectionDependencies) {
    this.key = record.key;
    this.#parameters = dependencies.readParameters(record);
    this.#deps = dependencies;
    const onStoreFailure = (error: unknown) => this.#onStoreFailure(error);
    this.#session = new Session(this.key, dependencies);
    this.#outbound = new Outbound({
      exchanges: dependencies.store.exchanges,
      fence: () => this.#session.fence(),
      identifiers: this.#identifiers,
      onFailure: onStoreFailure,
    });
    this.#attempts = new Attempts(dependencies.turns, (signal) => this.#attach(signal));
    this.#wayBack = new WayBack({
      key: this.key,
      session: this.#session,
      outbound: this.#outbound,
      log: dependencies.log,
      leaseTtlMs: dependencies.leaseTtlMs,
      parameters: () => this.#parameters,
      attempt: () => {
        if (this.#isWanted()) this.#attempt().catch(() => undefined);
      },
      whileDetached: (task) =>
        this.#mutex.run(async () => {
          if (this.#finished === null && this.#attachment === null && !this.#attempts.isUnderWay) await task();
        }),
      onStoreFailure,
    });
  }

  get parameters(): ConnectionParameters {
    return this.#parameters;
  }
  get lease(): Lease | null {
    return this.#session.lease;
  }
  get generation(): number {
    return this.#session.generation;
  }
  get status(): Readonly<SessionStatus> {
    return this.#session.status;
  }
  get subscriptions(): SubscriptionView[] {
    return this.#session.table.view(this.#parameters.subscriptions ?? []);
  }

  /** Whether the broker still has a subscription, be it that it refused to end it. */
  isSubscribed(filter: string): boolean {
    return this.#session.table.has(filter);
  }

  /** Reads what the store knows of the session, unless this instance knows better. */
  async refresh(): Promise<void> {
    if (this.lease === null && !this.#attempts.isUnderWay) await this.#session.load();
  }

  /** From now on it may be owned although it is marked as deleted: to finish that. */
  allowDeleted(): void {
    this.#session.allowDeleted();
  }

  /** Makes this instance the owner, or rejects with `not-owner`. Who calls it calls `settle` in the end. */
  async own(): Promise<void> {
    // An attempt to attach that is under way has the lease, and may take long.
    if (this.lease === null) await this.#mutex.run(() => this.#own());
  }

  /** Gives the lease back where nothing needs it, and attaches what should be attached. */
  async settle(): Promise<void> {
    if (this.#attachment === null) await this.#mutex.run(() => this.#settle());
  }

  /**
   * Attaches now, by request; resolves when online. Rejects with the problem, and goes on trying if time may mend it;
   * with `no-answer` when the attempt takes longer than the one who asked should wait.
   */
  async attach(): Promise<void> {
    this.#wayBack.forgetTakeovers();
    await this.#attemptInTime();
  }

  /**
   * Ends the network connection and stays detached. Rejects with `not-attached` when the ending asks for something that
   * only a DISCONNECT can tell the broker, and there is no connection to send it on.
   */
  detach(ending: Ending = {}): Promise<void> {
    return this.#instead(interrupted(), async () => {
      await this.#own();
      if (this.#attachment === null && Object.keys(ending).length > 0) {
        await this.#settle();
        throw new Problem('not-attached', {
          detail: 'There is no network connection to send DISCONNECT on: attach first, or detach without a body',
        });
      }
      await this.#end(ending);
      this.#wayBack.cancel();
      this.#session.set({ wanted: false });
      this.#session.setState('parked', { code: 'detached', detail: 'Detached by request' });
      await this.#session.save();
      await this.#session.release();
    });
  }

  /** Takes new parameters. Resolves when the broker has followed as far as it will; how far, the state tells. */
  async update(parameters: ConnectionParameters, { reattach, subscriptions }: Consequences): Promise<void> {
    this.#parameters = parameters;
    if (reattach) await this.#reattach();
    else if (subscriptions) await this.#followSubscriptions();
  }

  /**
   * Asks the broker for these filters, although it may have granted them before. Resolves after SUBACK; false when
   * detached, and they wait for the next attach.
   */
  subscribe(parameters: ConnectionParameters, filters: readonly string[]): Promise<boolean> {
    this.#parameters = parameters;
    return this.#followSubscriptions(filters);
  }

  /** Publishes as this ClientID; a detached Connection is attached for it. Rejects with a `Problem`. */
  publish(message: OutgoingMessage, timeoutMs: number): Promise<PublishOutcome> {
    if (this.#finished !== null) return Promise.reject(this.#finished);
    const { state } = this.#session.status;
    if (state === 'refused' || state === 'takenOver') return Promise.reject(this.#wayBack.notUsable());
    // How the attempt ends shows in the state; the publish has its own deadline.
    if (state === 'parked' || this.lease === null) this.#attempt().catch(() => undefined);
    return this.#outbound.publish(message, timeoutMs);
  }

  /**
   * Ends for good; with `discard` the broker forgets the session, unless that is another client's by now. The lease is
   * kept: `release` it when the store knows. Another call ends an attempt to discard.
   */
  finish(ending: Ending, discard: boolean, why: Problem): Promise<Discarded> {
    this.#finished = why;
    this.#wayBack.end();
    return this.#instead(why, async (signal) => {
      const kept = discard && this.#session.outlivesConnection && !this.#wayBack.isTakenOver;
      const byDisconnect = kept && this.#parameters.protocolVersion === '5.0';
      const told = await this.#end(byDisconnect ? { ...ending, sessionExpiryInterval: 0 } : ending);
      this.#outbound.stop(why);
      if (!kept || (byDisconnect && told)) return 'discarded';
      return discardSession(this.#parameters, this.#profile(), this.#deps.dialer, signal);
    });
  }

  /** Ends for good in this process: disconnects normally and gives the lease back. The session lives on. */
  async stop(): Promise<void> {
    await this.finish({}, false, new Problem('shutting-down', { retryAfter: 5 }));
    if (this.#session.status.state === 'online') {
      this.#session.setState('offline', { code: 'shutting-down', detail: 'The owner was shut down' });
    }
    await this.#session.save().catch(() => undefined);
    await this.release();
  }

  async release(): Promise<void> {
    await this.#session.release().catch(() => undefined);
  }

  /** The lease ended or went to somebody else: nothing may be sent or acknowledged any more. */
  leaseLost(): void {
    if (this.lease === null) return;
    this.#session.lose();
    this.#attempts.interrupt(notOwner());
    this.#abandon();
    this.#wayBack.leaseLost();
  }

  #isWanted(): boolean {
    const { wanted, state } = this.#session.status;
    return this.#finished === null && wanted && state !== 'refused' && state !== 'takenOver';
  }

  async #settle(): Promise<void> {
    if (this.#finished !== null || this.#attachment !== null || this.lease === null) return;
    if (this.#isWanted()) this.#wayBack.tryNow();
    else await this.#session.release();
  }

  /**
   * Runs a task that changes the network connection, instead of the attempt and whatever else waits for the broker. The
   * task's signal is for what it waits for itself: the next such task aborts it.
   */
  #instead<Result>(
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

  /** Ends the network connection and attaches again with other parameters, unless it rests for another reason than they. */
  async #reattach(): Promise<void> {
    const attaches = await this.#instead(
      interrupted(),
      async () => {
        await this.#end();
        const { wanted, state } = this.#session.status;
        if (!wanted || this.#finished !== null || this.#wayBack.isTakenOver) return false;
        if (state !== 'offline') this.#session.setState('connecting', null);
        return true;
      },
      { anew: true },
    );
    if (attaches) await this.#attemptInTime();
  }

  /** See `subscribe`; the filters are those to ask for although they are granted. */
  #followSubscriptions(filters: readonly string[] = []): Promise<boolean> {
    const { signal } = this.#attempts;
    return this.#mutex.run(async () => {
      // An attempt under way will follow them, and so will the next.
      if (this.#attachment === null || signal.aborted) return false;
      for (const filter of filters) this.#session.table.forget(filter);
      try {
        await applySubscriptions(this.#attachment, { parameters: this.#parameters, session: this.#session, signal });
        return true;
      } catch (error) {
        if (signal.aborted && this.#finished === null) return false;
        throw problemOfFailure(error, this.#parameters.protocolVersion);
      }
    });
  }

  async #attemptInTime(): Promise<void> {
    const result = await within(this.#parameters.connectTimeout * 1000 * PATIENCE, this.#attempt());
    if (result === LATE) {
      throw new Problem('no-answer', { detail: 'Not attached in time: other Connections to this broker come first' });
    }
  }

  async #attempt(): Promise<void> {
    // What is attached needs no turn, only the end of what is being changed.
    if (!this.#attempts.isUnderWay && this.#isAttached()) await this.#mutex.run(() => Promise.resolve());
    if (this.#attempts.isUnderWay || !this.#isAttached()) {
      await this.#attempts.join(brokerIdentity(this.#parameters));
    }
  }

  #isAttached(): boolean {
    return this.#attachment?.link.alive === true;
  }

  /** One attempt. Who interrupts it says what becomes of the Connection; else the way back does. */
  async #attach(signal: AbortSignal): Promise<void> {
    if (this.#finished !== null) throw this.#finished;
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
      throw await exclusively(() => this.#wayBack.failed(error));
    }
  }

  /** Before CONNECT; false when it is attached already. */
  async #prepare(): Promise<boolean> {
    if (this.#isAttached()) return false;
    this.#wayBack.cancel();
    await this.#own();
    this.#session.set({ wanted: true });
    if (this.#session.status.state !== 'offline') this.#session.setState('connecting', null);
    return true;
  }

  /** After CONNACK. */
  async #open(attachment: Attachment, options: AttachingOptions): Promise<void> {
    this.#attachment = attachment;
    try {
      await openAttachment(attachment, options, this.#parameters);
    } catch (error) {
      this.#abandon();
      throw error;
    }
  }

  #attachingOptions(signal: AbortSignal): AttachingOptions {
    return {
      parameters: this.#parameters,
      profile: this.#profile(),
      deps: this.#deps,
      session: this.#session,
      limits: () => this.#parameters.queue,
      outbound: this.#outbound,
      identifiers: this.#identifiers,
      signal,
      onStoreFailure: (error) => this.#onStoreFailure(error),
      onLost: (end, connectedAt) => {
        this.#attachment = null;
        this.#wayBack.lost(end, connectedAt);
      },
    };
  }

  /**
   * Asks the store, before every CONNECT: a lease that is only remembered may have ended. With a new one come the
   * parameters as the owner before left them, and what is in flight by then is the store's to say.
   */
  async #own(): Promise<void> {
    const record = await this.#session.acquire();
    if (record === null) return;
    this.#parameters = this.#deps.readParameters(record);
    this.#outbound.forgetFlights();
  }

  /** Answers whether DISCONNECT could be sent. */
  async #end(ending: Ending = {}): Promise<boolean> {
    const attachment = this.#attachment;
    // Its loss while it is being ended is no loss.
    this.#attachment = null;
    const told = attachment !== null && (await attachment.end(ending));
    const { sessionExpiryInterval } = ending;
    if (told && sessionExpiryInterval !== undefined) this.#session.set({ sessionExpiry: sessionExpiryInterval });
    return told;
  }

  /** With DISCONNECT: a store that fails is no reason to publish the Will. */
  #abandon(): void {
    this.#attachment?.abandon();
    this.#attachment = null;
  }

  #profile() {
    const { url, broker = 'default' } = this.#parameters;
    return url === undefined ? this.#deps.brokers.get(broker) : undefined;
  }

  /** What is not stored is not acknowledged: without the connection the broker will send it again. */
  #onStoreFailure(error: unknown): void {
    if (error instanceof StaleEpoch) {
      this.leaseLost();
      return;
    }
    this.#deps.log.error({ err: error, key: this.key }, 'the store failed; the connection is closed');
    this.#abandon();
    this.#wayBack.storeFailed(error);
  }
}
