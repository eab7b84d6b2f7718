import { Problem } from '../errors/problem.ts';
import type { OutgoingMessage, PublishOutcome } from '../mqtt/message.ts';
import { reasonName } from '../mqtt/reason-codes.ts';
import type { ConnectionParameters } from '../schemas/connection.ts';
import type { Connack, ConnectionState, StateReason, SubscriptionView } from '../schemas/connection-view.ts';
import { backoffMs } from './backoff.ts';
import { connectOptions, isPersistent, startsClean } from './connect-options.ts';
import type { BridgeDependencies } from './dependencies.ts';
import { dial } from './dial.ts';
import { Inbound } from './inbound.ts';
import {
  isWorthRetrying,
  notOwner,
  problemOfEnd,
  problemOfFailure,
  stateReason,
  storeProblem,
} from './link-problems.ts';
import type { ConnectOptions, LinkEnd, LinkHandlers, MqttLink } from './mqtt-client.ts';
import { Mutex } from './mutex.ts';
import { Outbound } from './outbound.ts';
import { PacketIdentifiers } from './packet-identifiers.ts';
import { toUserProperties } from './packets.ts';
import type { Fence, Key, Lease } from './ports.ts';
import { readServerLimits } from './server-limits.ts';
import { initialStatus, readStatus, type SessionStatus } from './session-status.ts';
import { SubscriptionTable } from './subscription-table.ts';
import { TakeoverDetector } from './takeover.ts';

export type ConnectionDependencies = Pick<
  BridgeDependencies,
  'store' | 'brokers' | 'nodeId' | 'leaseTtlMs' | 'maxPayload' | 'log'
>;

/** How a network connection is ended by us. */
export interface Ending {
  /** `drop`: without DISCONNECT on 3.x, with 0x04 on v5, so that the broker publishes the Will. */
  will?: 'send';
  /** v5: seconds that the session is to live on from now. */
  sessionExpiryInterval?: number;
}

const DISCONNECT_WITH_WILL = 0x04;
/** How long a graceful end waits for acknowledgements that are under way, each way. */
const DRAIN_DEADLINE_MS = 2_000;

/**
 * One Connection's life in this process: lease, network connection, session, and the way back after a failure. What it
 * knows survives in the store; a Connection object may be dropped and made again from its record at any time.
 */
export class Connection {
  readonly key: Key;
  readonly #deps: ConnectionDependencies;
  readonly #mutex = new Mutex();
  readonly #identifiers = new PacketIdentifiers();
  readonly #outbound: Outbound;
  readonly #takeovers = new TakeoverDetector();
  #parameters: ConnectionParameters;
  #table = new SubscriptionTable([]);
  #status: SessionStatus = initialStatus(Date.now());
  #generation = 0;
  #lease: Lease | null = null;
  #link: MqttLink | null = null;
  #inbound: Inbound | null = null;
  #connectedAt = 0;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #stopped = false;
  /** Aborted by what must not wait for a broker that does not answer: ending, or connecting otherwise. */
  #interrupt = new AbortController();

  constructor(key: Key, parameters: ConnectionParameters, dependencies: ConnectionDependencies) {
    this.key = key;
    this.#parameters = parameters;
    this.#deps = dependencies;
    this.#outbound = new Outbound({
      exchanges: dependencies.store.exchanges,
      fence: () => this.#fence(),
      identifiers: this.#identifiers,
      protocolVersion: parameters.protocolVersion,
      onFailure: (error) => this.#onStoreFailure(error),
    });
  }

  get parameters(): ConnectionParameters {
    return this.#parameters;
  }
  get lease(): Lease | null {
    return this.#lease;
  }
  get state(): ConnectionState {
    return this.#status.state;
  }
  get since(): number {
    return this.#status.since;
  }
  get reason(): StateReason | null {
    return this.#status.reason;
  }
  get connack(): Connack | null {
    return this.#status.connack;
  }
  get generation(): number {
    return this.#generation;
  }
  get subscriptions(): SubscriptionView[] {
    return this.#table.view(this.#parameters.subscriptions ?? []);
  }

  /** Reads what the store knows of the session. An owner that was online before is not any more. */
  async load(): Promise<void> {
    const session = await this.#deps.store.inbound.loadSession(this.key);
    this.#generation = session?.generation ?? 0;
    this.#status = readStatus(session, this.#status.since);
    this.#table = new SubscriptionTable(this.#status.granted);
    if (this.#status.state === 'online') this.#setState('connecting', null);
  }

  /** Attaches now; resolves when online. Rejects with the problem, and goes on trying if time may mend it. */
  attach(): Promise<void> {
    return this.#mutex.run(() => this.#attach());
  }

  /** Ends the network connection and stays detached. */
  detach(ending: Ending = {}): Promise<void> {
    this.#interrupt.abort();
    return this.#mutex.run(async () => {
      this.#cancelRetry();
      await this.#endLink(ending);
      this.#status.wanted = false;
      this.#setState('parked', { code: 'detached', detail: 'Detached by request' });
      await this.#saveStatus();
      await this.#releaseLease();
    });
  }

  /** Takes new parameters; those of CONNECT need `reattach`, which resumes the same session. */
  update(parameters: ConnectionParameters, reattach: boolean): Promise<void> {
    if (reattach) this.#interrupt.abort();
    return this.#mutex.run(async () => {
      const wasAttached = this.#link !== null;
      if (reattach) {
        this.#cancelRetry();
        await this.#endLink({});
      }
      this.#parameters = parameters;
      if (this.#link !== null) await this.#applySubscriptions(this.#link);
      else if (reattach && (wasAttached || this.#status.wanted)) await this.#attach();
    });
  }

  /** Asks the broker for these filters again, although it may have granted them before. Resolves after SUBACK. */
  subscribe(parameters: ConnectionParameters, filters: readonly string[]): Promise<boolean> {
    return this.#mutex.run(async () => {
      this.#parameters = parameters;
      if (this.#link === null) return false;
      for (const filter of filters) this.#table.forget(filter);
      await this.#applySubscriptions(this.#link);
      return true;
    });
  }

  /** Publishes as this ClientID; a detached Connection is attached for it. Rejects with a `Problem`. */
  publish(message: OutgoingMessage, timeoutMs: number): Promise<PublishOutcome> {
    if (this.#stopped) return Promise.reject(new Problem('shutting-down', { retryAfter: 5 }));
    const { state } = this.#status;
    if (state === 'refused' || state === 'takenOver') return Promise.reject(this.#notUsable());
    // How the attempt ends shows in the state; the publish has its own deadline.
    if (state === 'parked') this.attach().catch(() => undefined);
    return this.#outbound.publish(message, timeoutMs);
  }

  /**
   * Ends for good: disconnects and makes the broker forget the session. False when the broker could not be reached for
   * that.
   */
  discard(ending: Ending = {}): Promise<boolean> {
    this.#refuseWork();
    return this.#mutex.run(async () => {
      const persistent = isPersistent(this.#parameters) && (this.#generation > 0 || !this.#status.wanted);
      const endsSession = this.#link !== null && this.#parameters.protocolVersion === '5.0';
      await this.#halt(endsSession && persistent ? { ...ending, sessionExpiryInterval: 0 } : ending);
      if (!persistent || endsSession) return true;
      return this.#discardParked();
    });
  }

  /** Ends for good: disconnects normally and gives the lease back. The session lives on. */
  stop(ending: Ending = {}): Promise<void> {
    this.#refuseWork();
    return this.#mutex.run(() => this.#halt(ending));
  }

  /** The lease went to somebody else: nothing may be sent or acknowledged any more. */
  leaseLost(): void {
    this.#lease = null;
    this.#link?.disconnect().catch(() => undefined);
    this.#link = null;
    this.#inbound?.stop();
    this.#outbound.close();
    if (this.#status.state === 'online') this.#setState('offline', stateReason(notOwner()));
    this.#scheduleRetry();
  }

  async #attach(): Promise<void> {
    if (this.#stopped) throw new Problem('shutting-down', { retryAfter: 5 });
    if (this.#link?.alive) return;
    this.#cancelRetry();
    this.#interrupt = new AbortController();
    try {
      await this.#ensureLease();
      this.#status.wanted = true;
      if (this.#status.state !== 'offline') this.#setState('connecting', null);
      await this.#connect();
      this.#failures = 0;
    } catch (error) {
      throw this.#attachFailed(error);
    }
  }

  #attachFailed(error: unknown): Problem {
    const version = this.#parameters.protocolVersion;
    const problem = problemOfFailure(error, version);
    if (problem.type === 'internal') this.#deps.log.error({ err: error, key: this.key }, 'attaching failed');
    if (!isWorthRetrying(error, version)) {
      this.#setState('refused', stateReason(problem));
      this.#outbound.refuseWaiting(this.#notUsable());
    } else {
      if (this.#status.state !== 'takenOver') this.#setState('offline', stateReason(problem));
      this.#scheduleRetry();
    }
    this.#saveStatus().catch(() => undefined);
    return problem;
  }

  async #connect(): Promise<void> {
    const clean = startsClean(this.#parameters, this.#generation === 0);
    const inbound = new Inbound({
      store: this.#deps.store,
      fence: this.#fence(),
      limits: () => this.#parameters.queue,
      maxPayload: this.#deps.maxPayload,
      onFailure: (error) => this.#onStoreFailure(error),
    });
    const link = await dial(this.#options(clean), this.#identifiers, this.#handlers(inbound), this.#interrupt.signal);
    this.#link = link;
    this.#inbound = inbound;
    this.#connectedAt = Date.now();
    try {
      await this.#openSession(link, inbound, clean);
    } catch (error) {
      // Its end is told by what is thrown, not by `onClose`.
      this.#link = null;
      this.#inbound = null;
      inbound.stop();
      this.#outbound.close();
      link.destroy('The session could not be opened');
      throw error;
    }
  }

  /** Before anything is stored or acknowledged, the store must know which session of the broker this is. */
  async #openSession(link: MqttLink, inbound: Inbound, clean: boolean): Promise<void> {
    const { store } = this.#deps;
    // 3.1 has no Session Present flag: taking the session for a new one can repeat messages, but never swallow one.
    const present = link.connack.sessionPresent && !clean && this.#generation > 0;
    this.#status.connack = toConnack(link, this.#parameters);
    if (!present) {
      this.#table.reset();
      this.#status.granted = [];
      this.#generation = await store.inbound.beginGeneration(this.#fence(), { ...this.#status });
    }
    const former = await store.exchanges.load(this.#fence(), this.#generation);
    inbound.open(link, this.#generation);
    this.#setState('online', null);
    this.#outbound.open(link, {
      limits: readServerLimits(link.connack),
      generation: this.#generation,
      present,
      former,
    });
    await this.#applySubscriptions(link);
  }

  async #applySubscriptions(link: MqttLink): Promise<void> {
    const { connectTimeout, protocolVersion, subscriptions = [] } = this.#parameters;
    const deadline = setTimeout(() => link.destroy('The broker sent no SUBACK in time'), connectTimeout * 1000);
    try {
      await unlessAborted(this.#interrupt.signal, this.#table.apply(link, subscriptions, protocolVersion));
    } finally {
      clearTimeout(deadline);
      this.#status.granted = this.#table.granted;
    }
    await this.#saveStatus();
  }

  #handlers(inbound: Inbound): LinkHandlers {
    return {
      onPacket: (packet) => {
        if (packet.cmd === 'publish' || packet.cmd === 'pubrel') inbound.take(packet);
        else this.#outbound.onAck(packet);
      },
      onBatchEnd: () => inbound.flush(),
      onDrain: () => this.#outbound.onDrain(),
      onClose: (end) => {
        inbound.stop();
        if (this.#inbound === inbound) this.#onLinkClosed(end);
      },
    };
  }

  #onLinkClosed(end: LinkEnd): void {
    this.#link = null;
    this.#inbound = null;
    this.#outbound.close();
    const now = Date.now();
    const reason = stateReason(problemOfEnd(end, this.#parameters.protocolVersion));
    if (this.#takeovers.isTakeover(end, this.#connectedAt, now)) {
      this.#setState('takenOver', { ...reason, code: 'taken-over' });
      this.#outbound.refuseWaiting(this.#notUsable());
    } else {
      this.#setState('offline', reason);
      this.#scheduleRetry();
    }
    this.#deps.log.warn({ key: this.key, end: { ...end, connack: undefined } }, 'connection lost');
    this.#saveStatus().catch(() => undefined);
  }

  /** Ends the network connection in order: what is under way is acknowledged first, both ways, within a deadline. */
  async #endLink(ending: Ending): Promise<void> {
    const link = this.#link;
    const inbound = this.#inbound;
    if (link === null) return;
    await within(DRAIN_DEADLINE_MS, this.#outbound.idle());
    link.pauseReading();
    await within(DRAIN_DEADLINE_MS, inbound?.idle());
    // From here on this object no longer hears of the link's end, and what still arrives is the next owner's.
    this.#link = null;
    this.#inbound = null;
    inbound?.stop();
    this.#outbound.close();
    link.resumeReading();
    const { will, sessionExpiryInterval } = ending;
    if (will === 'send' && this.#parameters.protocolVersion !== '5.0') {
      link.destroy('The Will was asked for');
      return;
    }
    await link.disconnect({
      ...(will === 'send' ? { reasonCode: DISCONNECT_WITH_WILL } : {}),
      ...(sessionExpiryInterval === undefined ? {} : { sessionExpiryInterval }),
    });
  }

  /** From now on nothing is begun, and what waits for the broker's answer is interrupted. */
  #refuseWork(): void {
    this.#stopped = true;
    this.#interrupt.abort();
    this.#cancelRetry();
  }

  async #halt(ending: Ending): Promise<void> {
    await this.#endLink(ending);
    this.#outbound.stop(new Problem('shutting-down', { retryAfter: 5 }));
    if (this.#status.state === 'online') {
      this.#setState('offline', { code: 'shutting-down', detail: 'The owner was shut down' });
    }
    await this.#saveStatus().catch(() => undefined);
    await this.#releaseLease().catch(() => undefined);
  }

  /** A parked session is discarded by a clean connection that leaves nothing behind: no Will, no expiry. */
  async #discardParked(): Promise<boolean> {
    const { will: _will, ...parameters } = this.#parameters;
    const clean: ConnectionParameters = { ...parameters };
    if (clean.protocolVersion === '5.0') clean.sessionExpiryInterval = 0;
    else clean.cleanSession = true;
    try {
      const options = connectOptions(clean, this.#profile(), true);
      const ignore = { onPacket: () => {}, onBatchEnd: () => {}, onDrain: () => {}, onClose: () => {} };
      const link = await dial(options, new PacketIdentifiers(), ignore);
      await link.disconnect();
      return true;
    } catch {
      return false;
    }
  }

  #options(clean: boolean): ConnectOptions[] {
    return connectOptions(this.#parameters, this.#profile(), clean);
  }

  #profile() {
    const { url, broker = 'default' } = this.#parameters;
    return url === undefined ? this.#deps.brokers.get(broker) : undefined;
  }

  #fence(): Fence {
    if (this.#lease === null) throw notOwner();
    return this.#lease;
  }

  /** The lease comes before CONNECT, and what the store knows of the session comes with it. */
  async #ensureLease(): Promise<void> {
    if (this.#lease !== null) return;
    const { store, nodeId, leaseTtlMs } = this.#deps;
    const lease = await store.leases.acquire(this.key, nodeId, leaseTtlMs);
    if ('heldBy' in lease) throw notOwner();
    this.#lease = lease;
    await this.load();
  }

  async #releaseLease(): Promise<void> {
    const lease = this.#lease;
    this.#lease = null;
    if (lease !== null) await this.#deps.store.leases.release(lease);
  }

  async #saveStatus(): Promise<void> {
    if (this.#lease === null) return;
    await this.#deps.store.inbound.saveStatus(this.#lease, { ...this.#status });
  }

  /** What is not stored is not acknowledged: without the connection the broker will send it again. */
  #onStoreFailure(error: unknown): void {
    this.#deps.log.error({ err: error, key: this.key }, 'the store failed; the connection is closed');
    this.#link?.destroy(storeProblem(error).message);
  }

  #setState(state: ConnectionState, reason: StateReason | null): void {
    if (this.#status.state !== state) this.#status.since = Date.now();
    this.#status.state = state;
    this.#status.reason = reason;
  }

  #notUsable(): Problem {
    const { state, reason } = this.#status;
    return new Problem('connection-not-usable', {
      detail: `The Connection is ${state}${reason === null ? '' : `: ${reason.detail}`}. Attach it to try again.`,
      ...(reason?.reasonCode === undefined ? {} : { reasonCode: reason.reasonCode }),
      ...(reason?.reason === undefined ? {} : { reason: reason.reason }),
    });
  }

  #scheduleRetry(): void {
    if (this.#stopped) return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.attach().catch(() => undefined), backoffMs(this.#failures));
    this.#failures += 1;
  }

  #cancelRetry(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }
}

/** Waits for a task, but no longer than that. */
async function within(ms: number, task: Promise<void> | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([task, new Promise((resolve) => (timer = setTimeout(resolve, ms)))]);
  clearTimeout(timer);
}

/** Waits for a task, unless the signal comes first: then it rejects, and the task is left to itself. */
async function unlessAborted(signal: AbortSignal, task: Promise<void>): Promise<void> {
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(new Problem('shutting-down', { detail: 'Interrupted by another request', retryAfter: 1 }));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
  });
  try {
    await Promise.race([task, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    task.catch(() => undefined);
  }
}

function toConnack({ connack }: MqttLink, { protocolVersion }: ConnectionParameters): Connack {
  const { userProperties, authenticationData, ...properties } = connack.properties ?? {};
  const reasonCode = connack.reasonCode ?? connack.returnCode ?? 0;
  return {
    sessionPresent: connack.sessionPresent,
    reasonCode,
    reason: properties.reasonString ?? reasonName('connack', reasonCode, protocolVersion),
    properties: {
      ...properties,
      ...(userProperties === undefined ? {} : { userProperties: toUserProperties(userProperties) }),
      ...(authenticationData === undefined ? {} : { authenticationData: authenticationData.toString('base64') }),
    },
  };
}
