import { Problem } from '../errors/problem.ts';
import type { OutgoingMessage, PublishOutcome } from '../mqtt/message.ts';
import type { ConnectionParameters } from '../schemas/connection.ts';
import type { StateReason } from '../schemas/connection-view.ts';
import type { SubscriptionView } from '../schemas/subscription.ts';
import { applySubscriptions, interrupted, LostWhileOpening, openAttachment } from './attaching.ts';
import type { Attachment, Ending } from './attachment.ts';
import { isPersistent } from './connect-options.ts';
import type { BridgeDependencies } from './dependencies.ts';
import { discardSession } from './discard-session.ts';
import type { LinkEnd } from './link-end.ts';
import {
  isWorthRetrying,
  notOwner,
  problemOfEnd,
  problemOfFailure,
  stateReason,
  storeProblem,
} from './link-problems.ts';
import { Mutex } from './mutex.ts';
import { Outbound } from './outbound.ts';
import { PacketIdentifiers } from './packet-identifiers.ts';
import { type ConnectionRecord, type Key, type Lease, StaleEpoch } from './ports.ts';
import { Retry } from './retry.ts';
import { Session } from './session.ts';
import type { SessionStatus } from './session-status.ts';
import { TakeoverDetector } from './takeover.ts';

export interface ConnectionDependencies
  extends Pick<BridgeDependencies, 'store' | 'brokers' | 'nodeId' | 'leaseTtlMs' | 'maxPayload' | 'log'> {
  /** The parameters in a record, secrets too. */
  readParameters: (record: ConnectionRecord) => ConnectionParameters;
}

/**
 * One Connection's life in this process: lease, network connection, session, and the way back after a failure. What it
 * knows survives in the store; a Connection object may be dropped and made again from its record at any time.
 *
 * The lease is held while the Connection is attached or wants to be: not when it is parked, refused or taken over.
 */
export class Connection {
  readonly key: Key;
  readonly #deps: ConnectionDependencies;
  /** What changes the network connection is done one after the other. */
  readonly #mutex = new Mutex();
  readonly #identifiers = new PacketIdentifiers();
  readonly #session: Session;
  readonly #outbound: Outbound;
  readonly #takeovers = new TakeoverDetector();
  readonly #retry = new Retry(() => this.#attachIfWanted());
  #parameters: ConnectionParameters;
  #attachment: Attachment | null = null;
  /** The attempt under way, which all share who want the Connection to be online. */
  #attaching: Promise<void> | null = null;
  /** Aborted by what must not wait for a broker that does not answer: ending, or connecting otherwise. */
  #interrupt = new AbortController();
  /** What is answered once it has ended for good. */
  #finished: Problem | null = null;

  constructor(record: ConnectionRecord, dependencies: ConnectionDependencies) {
    this.key = record.key;
    this.#parameters = dependencies.readParameters(record);
    this.#deps = dependencies;
    this.#session = new Session(this.key, dependencies);
    this.#outbound = new Outbound({
      exchanges: dependencies.store.exchanges,
      fence: () => this.#session.fence(),
      identifiers: this.#identifiers,
      onFailure: (error) => this.#onStoreFailure(error),
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
    if (this.lease === null && this.#attaching === null) await this.#session.load();
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
  settle(): Promise<void> {
    return this.#mutex.run(async () => {
      if (this.#finished !== null || this.#attachment !== null || this.lease === null) return;
      if (this.#isWanted()) this.#retry.schedule(0);
      else await this.#session.release();
    });
  }

  /** Attaches now; resolves when online. Rejects with the problem, and goes on trying if time may mend it. */
  attach(): Promise<void> {
    this.#attaching ??= this.#mutex
      .run(() => this.#attach())
      .finally(() => {
        this.#attaching = null;
      });
    return this.#attaching;
  }

  /** Ends the network connection and stays detached. */
  detach(ending: Ending = {}): Promise<void> {
    this.#interrupt.abort(interrupted());
    return this.#mutex.run(async () => {
      await this.#own();
      await this.#end(ending);
      this.#retry.cancel();
      this.#session.set({ wanted: false });
      this.#session.setState('parked', { code: 'detached', detail: 'Detached by request' });
      await this.#session.save();
      await this.#session.release();
    });
  }

  /** Takes new parameters; those of CONNECT need `reattach`, which resumes the same session. */
  update(parameters: ConnectionParameters, reattach: boolean): Promise<void> {
    if (reattach) this.#interrupt.abort(interrupted());
    return this.#mutex.run(async () => {
      if (reattach) await this.#end();
      this.#parameters = parameters;
      if (this.#attachment !== null) await this.#applySubscriptions(this.#attachment);
      else if (reattach && this.#session.status.wanted) await this.#attach();
    });
  }

  /**
   * Asks the broker for these filters, although it may have granted them before. Resolves after SUBACK; false when
   * detached, and they wait for the next attach.
   */
  subscribe(parameters: ConnectionParameters, filters: readonly string[]): Promise<boolean> {
    return this.#mutex.run(async () => {
      this.#parameters = parameters;
      if (this.#attachment === null) return false;
      for (const filter of filters) this.#session.table.forget(filter);
      await this.#applySubscriptions(this.#attachment);
      return true;
    });
  }

  /** Publishes as this ClientID; a detached Connection is attached for it. Rejects with a `Problem`. */
  publish(message: OutgoingMessage, timeoutMs: number): Promise<PublishOutcome> {
    if (this.#finished !== null) return Promise.reject(this.#finished);
    const { state } = this.#session.status;
    if (state === 'refused' || state === 'takenOver') return Promise.reject(this.#notUsable());
    // How the attempt ends shows in the state; the publish has its own deadline.
    if (state === 'parked' || this.lease === null) this.attach().catch(() => undefined);
    return this.#outbound.publish(message, timeoutMs);
  }

  /**
   * Ends for good; with `discard` the broker forgets the session. False when it could not be reached for that. The lease
   * is kept: `release` it when the store knows.
   */
  finish(ending: Ending, discard: boolean, why: Problem): Promise<boolean> {
    this.#finished = why;
    this.#interrupt.abort(interrupted());
    return this.#mutex.run(async () => {
      const persistent = discard && isPersistent(this.#parameters) && this.#session.generation > 0;
      const byDisconnect = this.#attachment !== null && this.#parameters.protocolVersion === '5.0';
      await this.#end(byDisconnect && persistent ? { ...ending, sessionExpiryInterval: 0 } : ending);
      this.#retry.cancel();
      this.#outbound.stop(why);
      return !persistent || byDisconnect || discardSession(this.#parameters, this.#profile());
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
    this.#attachment?.abandon();
    this.#attachment = null;
    this.#session.setState('offline', stateReason(notOwner()));
    this.#retryLater();
  }

  #isWanted(): boolean {
    const { wanted, state } = this.#session.status;
    return wanted && state !== 'refused' && state !== 'takenOver';
  }

  #attachIfWanted(): void {
    if (this.#finished === null && this.#isWanted()) this.attach().catch(() => undefined);
  }

  async #attach(): Promise<void> {
    if (this.#finished !== null) throw this.#finished;
    if (this.#attachment?.link.alive) return;
    this.#retry.cancel();
    this.#interrupt = new AbortController();
    try {
      await this.#own();
      this.#session.set({ wanted: true });
      if (this.#session.status.state !== 'offline') this.#session.setState('connecting', null);
      await openAttachment({
        parameters: this.#parameters,
        profile: this.#profile(),
        deps: this.#deps,
        session: this.#session,
        limits: () => this.#parameters.queue,
        outbound: this.#outbound,
        identifiers: this.#identifiers,
        signal: this.#interrupt.signal,
        onStoreFailure: (error) => this.#onStoreFailure(error),
        onConnected: (attachment) => {
          this.#attachment = attachment;
        },
        onLost: (end, connectedAt) => this.#onLost(end, connectedAt),
      });
    } catch (error) {
      this.#attachment = null;
      throw await this.#attachFailed(error);
    }
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

  async #attachFailed(error: unknown): Promise<Problem> {
    const version = this.#parameters.protocolVersion;
    const problem = problemOfFailure(error, version);
    if (problem.type === 'internal') this.#deps.log.error({ err: error, key: this.key }, 'attaching failed');
    if (problem.type === 'not-owner') {
      this.#outbound.refuseWaiting(problem);
      this.#session.setState('offline', stateReason(problem));
      // The lease of an owner that died ends soon.
      this.#retryLater(this.#deps.leaseTtlMs / 2);
    } else if (error instanceof LostWhileOpening && this.#isTakeover(error.end, error.connectedAt)) {
      await this.#yield(stateReason(problem));
    } else if (isWorthRetrying(error, version)) {
      this.#session.setState('offline', stateReason(problem));
      this.#saveInBackground();
      this.#retryLater();
    } else {
      await this.#rest('refused', stateReason(problem));
    }
    return problem;
  }

  #onLost(end: LinkEnd, connectedAt: number): void {
    this.#attachment = null;
    this.#retry.lived(Date.now() - connectedAt);
    this.#deps.log.warn({ key: this.key, kind: end.kind, reasonCode: end.reasonCode }, 'connection lost');
    const reason = stateReason(problemOfEnd(end, this.#parameters.protocolVersion));
    this.#session.setState('offline', reason);
    if (this.#isTakeover(end, connectedAt)) {
      this.#mutex.run(() => this.#yield(reason)).catch((error) => this.#onStoreFailure(error));
    } else {
      this.#saveInBackground();
      this.#retryLater();
    }
  }

  #isTakeover(end: LinkEnd, connectedAt: number): boolean {
    return this.#takeovers.isTakeover(end, { connectedAt, now: Date.now(), version: this.#parameters.protocolVersion });
  }

  /** Leaves the ClientID to an outsider; one who had the lease meanwhile was none: that is a hand-over. */
  async #yield(reason: StateReason): Promise<void> {
    if (this.#finished !== null || this.#attachment !== null) return;
    const stillOurs = await this.#session.acquire().then(
      (record) => record === null,
      () => false,
    );
    if (stillOurs) await this.#rest('takenOver', { ...reason, code: 'taken-over' });
    else this.#retryLater(this.#deps.leaseTtlMs / 2);
  }

  /** Stays as it is until somebody attaches it. */
  async #rest(state: 'refused' | 'takenOver', reason: StateReason): Promise<void> {
    this.#session.setState(state, reason);
    this.#outbound.refuseWaiting(this.#notUsable());
    await this.#session.save().catch(() => undefined);
    await this.release();
  }

  async #applySubscriptions(attachment: Attachment): Promise<void> {
    try {
      await applySubscriptions(attachment, {
        parameters: this.#parameters,
        session: this.#session,
        signal: this.#interrupt.signal,
      });
    } catch (error) {
      throw problemOfFailure(error, this.#parameters.protocolVersion);
    }
  }

  async #end(ending: Ending = {}): Promise<void> {
    const attachment = this.#attachment;
    // Its loss while it is being ended is no loss.
    this.#attachment = null;
    await attachment?.end(ending);
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
    // With DISCONNECT: a store that fails is no reason to publish the Will.
    this.#attachment?.abandon();
    this.#attachment = null;
    this.#session.setState('offline', stateReason(storeProblem(error)));
    this.#retryLater();
  }

  /** The status in the store is for other instances to see: the next change will say what a failure did not. */
  #saveInBackground(): void {
    this.#session.save().catch((error) => {
      if (error instanceof StaleEpoch) this.leaseLost();
    });
  }

  #notUsable(): Problem {
    const { state, reason } = this.#session.status;
    return new Problem('connection-not-usable', {
      detail: `The Connection is ${state}${reason === null ? '' : `: ${reason.detail}`}. Attach it to try again.`,
      ...(reason?.reasonCode === undefined ? {} : { reasonCode: reason.reasonCode }),
      ...(reason?.reason === undefined ? {} : { reason: reason.reason }),
    });
  }

  #retryLater(atMostMs?: number): void {
    if (this.#finished === null) this.#retry.schedule(atMostMs);
  }
}
