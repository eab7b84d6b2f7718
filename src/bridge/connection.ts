import { Problem } from '../errors/problem.ts';
import type { OutgoingMessage, PublishOutcome } from '../mqtt/message.ts';
import type { ConnectionParameters } from '../schemas/connection.ts';
import type { SubscriptionView } from '../schemas/subscription.ts';
import { Attachment, type Ending } from './attachment.ts';
import { backoffMs } from './backoff.ts';
import { toConnack } from './connack.ts';
import { connectOptions, isPersistent, startsClean } from './connect-options.ts';
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
import type { ConnectionRecord, Key, Lease } from './ports.ts';
import { Session } from './session.ts';
import type { SessionStatus } from './session-status.ts';
import { TakeoverDetector } from './takeover.ts';
import { unlessAborted } from './waiting.ts';

export interface ConnectionDependencies
  extends Pick<BridgeDependencies, 'store' | 'brokers' | 'nodeId' | 'leaseTtlMs' | 'maxPayload' | 'log'> {
  /** The parameters in a record, secrets too. */
  readParameters: (record: ConnectionRecord) => ConnectionParameters;
}

/**
 * One Connection's life in this process: lease, network connection, session, and the way back after a failure. What it
 * knows survives in the store; a Connection object may be dropped and made again from its record at any time.
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
  #parameters: ConnectionParameters;
  #attachment: Attachment | null = null;
  /** Aborted by what must not wait for a broker that does not answer: ending, or connecting otherwise. */
  #interrupt = new AbortController();
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #stopped = false;

  constructor(record: ConnectionRecord, dependencies: ConnectionDependencies) {
    const { key } = record;
    this.key = key;
    this.#parameters = dependencies.readParameters(record);
    this.#deps = dependencies;
    this.#session = new Session(key, dependencies);
    this.#outbound = new Outbound({
      exchanges: dependencies.store.exchanges,
      fence: () => this.#session.fence(),
      identifiers: this.#identifiers,
      protocolVersion: this.#parameters.protocolVersion,
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

  /** Reads what the store knows of the session. */
  load(): Promise<void> {
    return this.#session.load();
  }

  /** Makes this instance the owner, or rejects with `not-owner`: only the owner may change a Connection. */
  async own(): Promise<void> {
    // An attempt to attach that is under way has the lease, and may take long.
    if (this.#session.lease === null) await this.#mutex.run(() => this.#own());
  }

  /** Attaches now; resolves when online. Rejects with the problem, and goes on trying if time may mend it. */
  attach(): Promise<void> {
    return this.#mutex.run(() => this.#attach());
  }

  /** Ends the network connection and stays detached. */
  detach(ending: Ending = {}): Promise<void> {
    this.#interruptAttempt();
    return this.#mutex.run(async () => {
      this.#cancelRetry();
      await this.#own();
      await this.#end(ending);
      this.#session.set({ wanted: false });
      this.#session.setState('parked', { code: 'detached', detail: 'Detached by request' });
      await this.#session.save();
      await this.#session.release();
    });
  }

  /** Takes new parameters; those of CONNECT need `reattach`, which resumes the same session. */
  update(parameters: ConnectionParameters, reattach: boolean): Promise<void> {
    if (reattach) this.#interruptAttempt();
    return this.#mutex.run(async () => {
      if (reattach) {
        this.#cancelRetry();
        await this.#end();
      }
      this.#parameters = parameters;
      if (this.#attachment !== null) await this.#applySubscriptions(this.#attachment);
      else if (reattach && this.#session.status.wanted) await this.#attach();
      else await this.#disownParked();
    });
  }

  /**
   * Asks the broker for these filters, although it may have granted them before. Resolves after SUBACK; false when
   * detached, and they wait for the next attach.
   */
  subscribe(parameters: ConnectionParameters, filters: readonly string[]): Promise<boolean> {
    return this.#mutex.run(async () => {
      this.#parameters = parameters;
      if (this.#attachment === null) {
        await this.#disownParked();
        return false;
      }
      for (const filter of filters) this.#session.table.forget(filter);
      await this.#applySubscriptions(this.#attachment);
      return true;
    });
  }

  /** Publishes as this ClientID; a detached Connection is attached for it. Rejects with a `Problem`. */
  publish(message: OutgoingMessage, timeoutMs: number): Promise<PublishOutcome> {
    if (this.#stopped) return Promise.reject(shuttingDown());
    const { state } = this.#session.status;
    if (state === 'refused' || state === 'takenOver') return Promise.reject(this.#notUsable());
    // How the attempt ends shows in the state; the publish has its own deadline.
    if (state === 'parked' || this.lease === null) this.attach().catch(() => undefined);
    return this.#outbound.publish(message, timeoutMs);
  }

  /** Ends for good, and makes the broker forget the session; false when it could not be reached for that. */
  discard(ending: Ending = {}): Promise<boolean> {
    this.#refuseWork();
    return this.#mutex.run(async () => {
      const persistent = isPersistent(this.#parameters) && this.#session.generation > 0;
      const byDisconnect = this.#attachment !== null && this.#parameters.protocolVersion === '5.0';
      await this.#halt(byDisconnect && persistent ? { ...ending, sessionExpiryInterval: 0 } : ending);
      return !persistent || byDisconnect || discardSession(this.#parameters, this.#profile());
    });
  }

  /** Ends for good: disconnects normally and gives the lease back. The session lives on. */
  stop(ending: Ending = {}): Promise<void> {
    this.#refuseWork();
    return this.#mutex.run(() => this.#halt(ending));
  }

  /** The lease went to somebody else: nothing may be sent or acknowledged any more. */
  leaseLost(): void {
    this.#session.lose();
    this.#attachment?.abandon();
    this.#attachment = null;
    this.#session.setState('offline', stateReason(notOwner()));
    this.#scheduleRetry();
  }

  async #attach(): Promise<void> {
    if (this.#stopped) throw shuttingDown();
    if (this.#attachment?.link.alive) return;
    this.#cancelRetry();
    this.#interrupt = new AbortController();
    try {
      await this.#own();
      this.#session.set({ wanted: true });
      if (this.#session.status.state !== 'offline') this.#session.setState('connecting', null);
      await this.#connect();
      this.#failures = 0;
    } catch (error) {
      throw this.#attachFailed(error);
    }
  }

  /** With a new lease come the parameters as the owner before left them. */
  async #own(): Promise<void> {
    const record = await this.#session.acquire();
    if (record !== null) this.#parameters = this.#deps.readParameters(record);
  }

  /** Nobody needs to own what is parked. */
  async #disownParked(): Promise<void> {
    if (this.#session.status.state === 'parked') await this.#session.release();
  }

  #attachFailed(error: unknown): Problem {
    const version = this.#parameters.protocolVersion;
    const problem = problemOfFailure(error, version);
    if (problem.type === 'internal') this.#deps.log.error({ err: error, key: this.key }, 'attaching failed');
    if (problem.type === 'not-owner') this.#outbound.refuseWaiting(problem);
    if (!isWorthRetrying(error, version)) {
      this.#session.setState('refused', stateReason(problem));
      this.#outbound.refuseWaiting(this.#notUsable());
    } else {
      this.#session.setState('offline', stateReason(problem));
      // The lease of an owner that died ends soon.
      this.#scheduleRetry(problem.type === 'not-owner' ? this.#deps.leaseTtlMs / 2 : undefined);
    }
    this.#session.save().catch(() => undefined);
    return problem;
  }

  async #connect(): Promise<void> {
    const { maxPayload } = this.#deps;
    const clean = startsClean(this.#parameters, this.#session.generation === 0);
    const attachment = await Attachment.connect({
      addresses: connectOptions(this.#parameters, this.#profile(), { clean, maxPayload }),
      identifiers: this.#identifiers,
      inbound: {
        store: this.#deps.store,
        fence: this.#session.fence(),
        limits: () => this.#parameters.queue,
        maxPayload,
        sessionMayBeNew: !this.#tellsSessionPresent(),
        onFailure: (error) => this.#onStoreFailure(error),
      },
      outbound: this.#outbound,
      onLost: (end, connectedAt) => this.#onLost(end, connectedAt),
      signal: this.#interrupt.signal,
    });
    this.#attachment = attachment;
    try {
      await this.#openSession(attachment, clean);
      await this.#applySubscriptions(attachment);
    } catch (error) {
      this.#attachment = null;
      attachment.abandon();
      throw error;
    }
  }

  /** Before anything is stored or acknowledged, the store must know which session of the broker this is. */
  async #openSession(attachment: Attachment, clean: boolean): Promise<void> {
    const before = !clean && this.#session.generation > 0;
    const present = before && (attachment.connack.sessionPresent || !this.#tellsSessionPresent());
    this.#session.set({ connack: toConnack(attachment.connack, this.#parameters.protocolVersion) });
    if (!present) await this.#session.begin();
    else if (!this.#tellsSessionPresent()) this.#session.table.reset();
    const { generation } = this.#session;
    const former = await this.#deps.store.exchanges.load(this.#session.fence(), generation);
    if (!attachment.link.alive) throw problemOfEnd(attachment.link.end, this.#parameters.protocolVersion);
    attachment.open({ generation, present, former });
    this.#session.setState('online', null);
  }

  /**
   * 3.1 has no Session Present flag. Its session is taken for the one before, with all subscriptions made again, and
   * what is new is told by DUP.
   */
  #tellsSessionPresent(): boolean {
    return this.#parameters.protocolVersion !== '3.1';
  }

  async #applySubscriptions({ link }: Attachment): Promise<void> {
    const { connectTimeout, protocolVersion, subscriptions = [] } = this.#parameters;
    const deadline = setTimeout(() => link.destroy('The broker sent no SUBACK in time'), connectTimeout * 1000);
    try {
      const applying = this.#session.table.apply(link, subscriptions, protocolVersion);
      await unlessAborted(this.#interrupt.signal, applying);
    } catch (error) {
      throw problemOfFailure(error, protocolVersion);
    } finally {
      clearTimeout(deadline);
    }
    await this.#session.save();
  }

  #onLost(end: LinkEnd, connectedAt: number): void {
    this.#attachment = null;
    const reason = stateReason(problemOfEnd(end, this.#parameters.protocolVersion));
    if (this.#takeovers.isTakeover(end, connectedAt, Date.now())) {
      this.#session.setState('takenOver', { ...reason, code: 'taken-over' });
      this.#outbound.refuseWaiting(this.#notUsable());
    } else {
      this.#session.setState('offline', reason);
      this.#scheduleRetry();
    }
    this.#deps.log.warn({ key: this.key, kind: end.kind, reasonCode: end.reasonCode }, 'connection lost');
    this.#session.save().catch(() => undefined);
  }

  async #end(ending: Ending = {}): Promise<void> {
    await this.#attachment?.end(ending);
    this.#attachment = null;
  }

  #refuseWork(): void {
    this.#stopped = true;
    this.#interruptAttempt();
    this.#cancelRetry();
  }

  #interruptAttempt(): void {
    this.#interrupt.abort(new Problem('changed-meanwhile', { detail: 'Another request ended the attempt' }));
  }

  async #halt(ending: Ending): Promise<void> {
    await this.#end(ending);
    this.#outbound.stop(shuttingDown());
    if (this.#session.status.state === 'online') {
      this.#session.setState('offline', { code: 'shutting-down', detail: 'The owner was shut down' });
    }
    await this.#session.save().catch(() => undefined);
    await this.#session.release().catch(() => undefined);
  }

  #profile() {
    const { url, broker = 'default' } = this.#parameters;
    return url === undefined ? this.#deps.brokers.get(broker) : undefined;
  }

  /** What is not stored is not acknowledged: without the connection the broker will send it again. */
  #onStoreFailure(error: unknown): void {
    this.#deps.log.error({ err: error, key: this.key }, 'the store failed; the connection is closed');
    this.#attachment?.link.destroy(storeProblem(error).message);
  }

  #notUsable(): Problem {
    const { state, reason } = this.#session.status;
    return new Problem('connection-not-usable', {
      detail: `The Connection is ${state}${reason === null ? '' : `: ${reason.detail}`}. Attach it to try again.`,
      ...(reason?.reasonCode === undefined ? {} : { reasonCode: reason.reasonCode }),
      ...(reason?.reason === undefined ? {} : { reason: reason.reason }),
    });
  }

  #scheduleRetry(atMostMs = Number.POSITIVE_INFINITY): void {
    if (this.#stopped) return;
    clearTimeout(this.#retry);
    const delay = Math.min(backoffMs(this.#failures), atMostMs);
    this.#retry = setTimeout(() => this.attach().catch(() => undefined), delay);
    this.#failures += 1;
  }

  #cancelRetry(): void {
    clearTimeout(this.#retry);
  }
}

function shuttingDown(): Problem {
  return new Problem('shutting-down', { retryAfter: 5 });
}
