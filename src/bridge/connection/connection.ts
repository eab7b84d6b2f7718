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
import type { Asked, LeaseClock, Standing } from '../ownership/lease-clock.ts';
import { type ConnectionRecord, type Fence, type Key, type Lease, StaleEpoch, StoreUnavailable } from '../ports.ts';
import { Outbox } from '../publications/outbox.ts';
import { isSlot } from '../publishers/slots.ts';
import { interrupted } from './attaching.ts';
import type { Ending } from './attachment.ts';
import { type Discarded, discardSession } from './discard-session.ts';
import { NetworkConnection } from './network-connection.ts';
import { Parking } from './parking.ts';
import { Session } from './session.ts';
import type { SessionStatus } from './session-status.ts';
import type { Turns } from './turns.ts';
import { WayBack } from './way-back.ts';

export interface ConnectionDependencies
  extends Pick<BridgeDependencies, 'mode' | 'store' | 'brokers' | 'holder' | 'maxPayload' | 'log'> {
  dialer: Dialer;
  /** These two all Connections of this process share. */
  turns: Turns;
  clock: LeaseClock;
  /** The parameters in a record, secrets too. */
  readParameters: (record: ConnectionRecord) => ConnectionParameters;
  /** Makes room for another network connection; rejects with `overloaded` when there is none. */
  makeRoom: (key: Key) => Promise<void>;
  /** See `SlotRecords.fallBack`. */
  fallBack: (slot: Connection, error: unknown) => Promise<boolean>;
  /** It has ended for good in this process: another instance has it, or may have it. */
  onGone: (connection: Connection) => void;
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
  readonly id: string;
  /** Whether it is a pooled publisher: the bridge's own, and attached while it has something to do. */
  readonly isPublisher: boolean;
  readonly #deps: ConnectionDependencies;
  readonly #session: Session;
  readonly #outbound: Outbound;
  readonly #outbox: Outbox;
  readonly #wayBack: WayBack;
  readonly #network: NetworkConnection;
  /** When it does without its network connection. */
  readonly parking: Parking;
  #parameters: ConnectionParameters;
  /** What is answered once it has ended for good. */
  #finished: Problem | null = null;

  constructor(record: ConnectionRecord, dependencies: ConnectionDependencies) {
    this.key = record.key;
    this.id = record.id;
    this.isPublisher = isSlot(record.id);
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
      parameters: () => this.#parameters,
      attempt: () => {
        if (!this.#isUsable) return;
        if (this.parking.isNeeded) this.#network.make().catch(() => undefined);
        else this.parking.giveBack().catch(onStoreFailure);
      },
      whileDetached: (task) =>
        this.#network.exclusively(async () => {
          if (this.#finished === null && !this.#network.exists && !this.#network.isBeingMade) await task();
        }),
      onStoreFailure,
      onDisowned: (why) => this.retire(why),
      publisher: this.isPublisher
        ? { fallBack: (error) => dependencies.fallBack(this, error), isAwaited: () => this.#outbound.isAwaited }
        : null,
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
        await dependencies.makeRoom(this.key);
      },
      onStoreFailure,
    });
    this.parking = new Parking({
      key: this.key,
      isPublisher: this.isPublisher,
      session: this.#session,
      network: this.#network,
      outbound: this.#outbound,
      outbox: this.#outbox,
      wayBack: this.#wayBack,
      publications: dependencies.store.publications,
      parameters: () => this.#parameters,
      hasEnded: () => this.#finished !== null,
      own: () => this.own(),
      attachForCaller: () => this.#attachForCaller(),
    });
  }

  get parameters(): ConnectionParameters {
    return this.#parameters;
  }
  get lease(): Lease | null {
    return this.#session.lease;
  }
  get standing(): Standing {
    return this.#session.standing;
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

  /** Whether it has a network connection, be it that it is still being made. */
  get isAttached(): boolean {
    return this.#network.exists || this.#network.isBeingMade;
  }

  /** Whether it may be forgotten here: it does nothing, and is owned by another instance or by none. */
  get isDormant(): boolean {
    return this.lease === null && !this.isAttached && !this.#wayBack.isPending && this.#outbound.isIdle;
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

  /** Resolves when it is attached, where it is just about to be, or that has failed. */
  async arrive(): Promise<void> {
    if (this.#wayBack.isPending || this.#network.isBeingMade) await this.#network.make().catch(() => undefined);
  }

  /**
   * Attaches now, by request; resolves when online. Rejects with the problem, and goes on trying if time may mend it;
   * with `no-answer` when the attempt takes longer than the one who asked should wait.
   */
  async attach(): Promise<void> {
    this.parking.use();
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
      await this.parking.release();
    });
  }

  /** The store has renewed that lease: what was held back meanwhile may be sent. */
  confirm(lease: Fence, asked: Asked): void {
    this.#session.confirm(lease, asked);
    if (this.#session.standing === 'sure') this.#network.letThrough();
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
    this.parking.use();
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
    this.parking.use();
    this.#attachForCaller();
    return this.#outbound.publish(message, timeoutMs, kept);
  }

  /** Has the store know that it is to be attached, also after a restart. */
  async want(): Promise<void> {
    const { wanted, state } = this.#session.status;
    if (wanted && state !== 'parked' && this.#session.isStored) return;
    this.#session.set({ wanted: true });
    if (state === 'parked') this.#session.setState('connecting', null);
    await this.#session.save();
  }

  /** Something waits in the outbox, or an exchange is to be finished: a detached Connection is attached for it. */
  sendOutbox(): void {
    if (this.refusal !== null) return;
    this.parking.use();
    this.#attachForCaller();
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

  /**
   * Ends for good in this process: what is under way is acknowledged, then DISCONNECT, then the lease is given back. The
   * session lives on, and so does the Connection: answers whether it waits for somebody to take it.
   */
  async stop(why: Problem): Promise<boolean> {
    await this.finish({}, false, why);
    if (this.parking.isAtRest) {
      this.parking.setParked();
    } else if (this.#session.status.state === 'online') {
      this.#session.setState('offline', { code: why.type, detail: 'The owner gave it back; another one takes it' });
    }
    await this.#session.save().catch(() => undefined);
    const isToAttach = this.lease !== null && this.parking.nextLookMs === 0;
    await this.release();
    return isToAttach;
  }

  async release(): Promise<void> {
    await this.parking.release().catch(() => undefined);
  }

  /** Ends for good in this process, at once: the lease is another's, or nobody's. */
  retire(why: Problem): void {
    if (this.#finished !== null) return;
    this.#finished = why;
    this.#session.lose();
    this.#outbox.end();
    this.#wayBack.end();
    this.#network.abandon(why);
    this.#outbound.stop(why);
    this.#deps.onGone(this);
  }

  /** The store cannot be asked, and the lease ends soon: detaches before that, and comes back with it. */
  leaseRanOut(): void {
    if (this.lease === null) return;
    this.#deps.log.warn({ key: this.key }, 'the lease could not be renewed in time; the connection is closed');
    this.#session.lose();
    const why = new StoreUnavailable('The lease could not be renewed in time');
    this.#network.abandon(storeProblem(why));
    this.#wayBack.storeFailed(why);
  }

  /** Whether it may be attached without being asked to. */
  get #isUsable(): boolean {
    const { wanted, state } = this.#session.status;
    return this.#finished === null && wanted && state !== 'refused' && state !== 'takenOver';
  }

  /** Unless it is attached, or will be by itself. How the attempt ends shows in the state; callers have deadlines. */
  #attachForCaller(): void {
    if (this.#wayBack.isPending) this.#wayBack.hurry();
    else if (!this.isAttached) this.#network.make().catch(() => undefined);
  }

  async #settle(): Promise<void> {
    if (this.#finished !== null || this.#network.exists || this.lease === null) return;
    if (this.#isUsable && this.parking.isNeeded) this.#wayBack.tryNow();
    else await this.parking.release();
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
    // It was lent, and another had it meanwhile: the broker has closed the socket, or will.
    if (this.#network.exists) this.#network.abandon();
    this.#parameters = this.#deps.readParameters(record);
    this.parking.taken();
    this.#outbound.forgetFlights();
  }

  #profile() {
    const { url, broker = 'default' } = this.#parameters;
    return url === undefined ? this.#deps.brokers.get(broker) : undefined;
  }

  /** What is not stored is not acknowledged: without the connection the broker will send it again. */
  #onStoreFailure(error: unknown): void {
    if (error instanceof StaleEpoch) {
      this.retire(notOwner());
      return;
    }
    this.#deps.log.error({ err: error, key: this.key }, 'the store failed; the connection is closed');
    this.#network.abandon(storeProblem(error));
    this.#wayBack.storeFailed(error);
  }
}
