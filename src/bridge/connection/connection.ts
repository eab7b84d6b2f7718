import { Problem } from '../../errors/problem.ts';
import type { OutgoingMessage, PublishOutcome } from '../../mqtt/message.ts';
import type { ConnectionParameters } from '../../schemas/connection.ts';
import type { SubscriptionView } from '../../schemas/subscription.ts';
import { Outbound } from '../delivery/outbound.ts';
import type { KeptPublish } from '../delivery/publish-queue.ts';
import type { BridgeDependencies } from '../dependencies.ts';
import type { Dialer } from '../link/dial.ts';
import { notOwner, storeProblem } from '../link/link-problems.ts';
import { PacketIdentifiers } from '../link/packet-identifiers.ts';
import { type ConnectionRecord, type Fence, type Key, type Lease, StaleEpoch } from '../ports.ts';
import { Outbox } from '../publications/outbox.ts';
import { interrupted } from './attaching.ts';
import type { Ending } from './attachment.ts';
import { type Discarded, discardSession } from './discard-session.ts';
import { NetworkConnection } from './network-connection.ts';
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

/**
 * One Connection's life in this process: lease, network connection and session. What it knows survives in the store; a
 * Connection object may be dropped and made again from its record at any time.
 *
 * The lease is held while the Connection is attached or wants to be: not when it is parked, refused or taken over.
 */
export class Connection {
  readonly key: Key;
  readonly #deps: ConnectionDependencies;
  readonly #session: Session;
  readonly #outbound: Outbound;
  readonly #outbox: Outbox;
  readonly #wayBack: WayBack;
  readonly #network: NetworkConnection;
  #parameters: ConnectionParameters;
  /** What is answered once it has ended for good. */
  #finished: Problem | null = null;

  constructor(record: ConnectionRecord, dependencies: ConnectionDependencies) {
    this.key = record.key;
    this.#parameters = dependencies.readParameters(record);
    this.#deps = dependencies;
    const onStoreFailure = (error: unknown) => this.#onStoreFailure(error);
    const identifiers = new PacketIdentifiers();
    this.#session = new Session(this.key, dependencies);
    this.#outbound = new Outbound({
      exchanges: dependencies.store.exchanges,
      fence: () => this.#session.fence(),
      identifiers,
      isStoreDown: () => this.#session.status.reason?.code === 'store-unavailable',
      onFailure: onStoreFailure,
    });
    this.#outbox = new Outbox({
      key: this.key,
      publications: dependencies.store.publications,
      fence: () => this.lease,
      publish: (message, timeoutMs, kept) => this.#outbound.publish(message, timeoutMs, kept),
      onFailure: onStoreFailure,
    });
    this.#wayBack = new WayBack({
      key: this.key,
      session: this.#session,
      outbound: this.#outbound,
      log: dependencies.log,
      leaseTtlMs: dependencies.leaseTtlMs,
      parameters: () => this.#parameters,
      attempt: () => {
        if (this.#isWanted()) this.#network.make().catch(() => undefined);
      },
      whileDetached: (task) =>
        this.#network.exclusively(async () => {
          if (this.#finished === null && !this.#network.exists && !this.#network.isBeingMade) await task();
        }),
      onStoreFailure,
    });
    this.#network = new NetworkConnection({
      deps: dependencies,
      turns: dependencies.turns,
      session: this.#session,
      outbound: this.#outbound,
      outbox: this.#outbox,
      identifiers,
      wayBack: this.#wayBack,
      parameters: () => this.#parameters,
      profile: () => this.#profile(),
      own: async () => {
        if (this.#finished !== null) throw this.#finished;
        await this.#own();
      },
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
    if (this.lease === null && !this.#network.isBeingMade) await this.#session.load();
  }

  /** From now on it may be owned although it is marked as deleted: to finish that. */
  allowDeleted(): void {
    this.#session.allowDeleted();
  }

  /** Makes this instance the owner, or rejects with `not-owner`. Who calls it calls `settle` in the end. */
  async own(): Promise<void> {
    // An attempt to attach that is under way has the lease, and may take long.
    if (this.lease === null) await this.#network.exclusively(() => this.#own());
  }

  /** Gives the lease back where nothing needs it, and attaches what should be attached. */
  async settle(): Promise<void> {
    if (!this.#network.exists) await this.#network.exclusively(() => this.#settle());
  }

  /**
   * Attaches now, by request; resolves when online. Rejects with the problem, and goes on trying if time may mend it;
   * with `no-answer` when the attempt takes longer than the one who asked should wait.
   */
  async attach(): Promise<void> {
    this.#wayBack.forgetTakeovers();
    await this.#network.makeInTime();
  }

  /**
   * Ends the network connection and stays detached. Rejects with `not-attached` when the ending asks for something that
   * only a DISCONNECT can tell the broker, and there is no connection to send it on.
   */
  detach(ending: Ending = {}): Promise<void> {
    return this.#network.instead(interrupted(), async () => {
      await this.#own();
      if (!this.#network.exists && Object.keys(ending).length > 0) {
        await this.#settle();
        throw new Problem('not-attached', {
          detail: 'There is no network connection to send DISCONNECT on: attach first, or detach without a body',
        });
      }
      await this.#network.end(ending);
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
    else if (subscriptions) await this.#network.follow();
  }

  /**
   * Asks the broker for these filters, although it may have granted them before. Resolves after SUBACK; false when
   * detached, and they wait for the next attach.
   */
  subscribe(parameters: ConnectionParameters, filters: readonly string[]): Promise<boolean> {
    this.#parameters = parameters;
    return this.#network.follow(filters);
  }

  /** Why nothing can be published; null when it can, be it that the broker is to be reached first. */
  get refusal(): Problem | null {
    const { state } = this.#session.status;
    return this.#finished ?? (state === 'refused' || state === 'takenOver' ? this.#wayBack.notUsable() : null);
  }

  /** The right to write; throws `not-owner` without a lease. */
  fence(): Fence {
    return this.#session.fence();
  }

  /** Publishes as this ClientID; a detached Connection is attached for it. Rejects with a `Problem`. */
  publish(message: OutgoingMessage, timeoutMs: number, kept: KeptPublish | null = null): Promise<PublishOutcome> {
    const { refusal } = this;
    if (refusal !== null) return Promise.reject(refusal);
    this.#attachIfParked();
    return this.#outbound.publish(message, timeoutMs, kept);
  }

  /** Has the store know that it is to be attached, also after a restart. */
  async want(): Promise<void> {
    if (this.#session.status.wanted) return;
    this.#session.set({ wanted: true });
    await this.#session.save();
  }

  /** Something waits in the outbox, or an exchange is to be finished: a detached Connection is attached for it. */
  sendOutbox(): void {
    if (this.refusal !== null) return;
    this.#attachIfParked();
    this.#outbox.wake();
  }

  /**
   * Ends for good; with `discard` the broker forgets the session, unless that is another client's by now. The lease is
   * kept: `release` it when the store knows. Another call ends an attempt to discard.
   */
  finish(ending: Ending, discard: boolean, why: Problem): Promise<Discarded> {
    this.#finished = why;
    this.#outbox.end();
    this.#wayBack.end();
    return this.#network.instead(why, async (signal) => {
      const kept = discard && this.#session.outlivesConnection && !this.#wayBack.isTakenOver;
      const byDisconnect = kept && this.#parameters.protocolVersion === '5.0';
      const told = await this.#network.end(byDisconnect ? { ...ending, sessionExpiryInterval: 0 } : ending);
      this.#outbound.stop(why);
      await this.#outbox.idle();
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
    this.#network.abandon(notOwner());
    this.#wayBack.leaseLost();
  }

  #isWanted(): boolean {
    const { wanted, state } = this.#session.status;
    return this.#finished === null && wanted && state !== 'refused' && state !== 'takenOver';
  }

  /** How the attempt ends shows in the state; who publishes has a deadline of their own. */
  #attachIfParked(): void {
    const { state } = this.#session.status;
    if (state === 'parked' || this.lease === null) this.#network.make().catch(() => undefined);
  }

  async #settle(): Promise<void> {
    if (this.#finished !== null || this.#network.exists || this.lease === null) return;
    if (this.#isWanted()) this.#wayBack.tryNow();
    else await this.#session.release();
  }

  /** Ends the network connection and attaches again with other parameters, unless it rests for another reason than they. */
  async #reattach(): Promise<void> {
    const attaches = await this.#network.instead(
      interrupted(),
      async () => {
        await this.#network.end();
        const { wanted, state } = this.#session.status;
        if (!wanted || this.#finished !== null || this.#wayBack.isTakenOver) return false;
        if (state !== 'offline') this.#session.setState('connecting', null);
        return true;
      },
      { anew: true },
    );
    if (attaches) await this.#network.makeInTime();
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
    this.#network.abandon(storeProblem(error));
    this.#wayBack.storeFailed(error);
  }
}
