import { Problem } from '../../errors/problem.ts';
import type { ConnectionParameters } from '../../schemas/connection.ts';
import type { StateReason } from '../../schemas/connection-view.ts';
import type { Outbound } from '../delivery/outbound.ts';
import { problemOfFailure, stateReason } from '../link/link-problems.ts';
import type { Key, Publications } from '../ports.ts';
import type { Outbox } from '../publications/outbox.ts';
import { Stopwatch } from '../stopwatch.ts';
import { within } from '../waiting.ts';
import type { NetworkConnection } from './network-connection.ts';
import { nextLookMs } from './next-look.ts';
import type { Session } from './session.ts';
import type { WayBack } from './way-back.ts';

/** How soon somebody tries again to attach what could not be, and has messages to send. */
const OUTBOX_RETRY_MS = 10_000;
/** How soon somebody tries again where there was no room. */
const ROOM_RETRY_MS = 500;
/** How long a function waits for the store before it ends a network connection that it could have kept. */
const FORGETTING_MS = 1_000;

const PARKED: StateReason = {
  code: 'parked',
  detail: 'Detached for now: the broker keeps the session, and a request, or the keeper, attaches it',
};

const OUTBOX_WAITS: StateReason = {
  code: 'outbox-waits',
  detail: 'Detached with messages to send: the keeper, or the next request, attaches it',
};

export interface ParkingOptions {
  key: Key;
  /** Whether it is a pooled publisher: attached while it has something to do. */
  isPublisher: boolean;
  session: Session;
  network: NetworkConnection;
  outbound: Outbound;
  outbox: Outbox;
  wayBack: Pick<WayBack, 'cancel'>;
  publications: Pick<Publications, 'outbox'>;
  parameters: () => ConnectionParameters;
  /** Whether it has ended for good in this process. */
  hasEnded: () => boolean;
  /** Takes the lease; rejects with `not-owner`. */
  own: () => Promise<void>;
  /** Something waits for a network connection. */
  attachForCaller: () => void;
}

/** When a Connection does without its network connection for a while, and what becomes of its lease meanwhile. */
export class Parking {
  readonly #options: ParkingOptions;
  /** Since a caller used it last, if one did. */
  readonly #unused = new Stopwatch();
  #wasUsed = false;
  /** Whether the owner before had left nothing under way. */
  #wasAtRest = false;

  constructor(options: ParkingOptions) {
    this.#options = options;
  }

  /** Whether the broker keeps the session without the network connection. */
  get isLasting(): boolean {
    return this.#options.session.outlivesConnection;
  }

  /** Whether the broker may keep messages for it while it is detached for now, or its owner has died. */
  get isToDrain(): boolean {
    return this.#options.session.status.wanted && this.isLasting && !this.#isRefused;
  }

  /** Whether nothing is to be done for it while it is detached: the broker keeps nothing, and nothing waits to be sent. */
  async isLeftAlone(): Promise<boolean> {
    if (this.#options.session.generation === 0 || this.isLasting) return false;
    return !(await this.#hasToSend());
  }

  /** Whether it may be detached for now: the session outlives that, or need not, and nothing is under way. */
  get isParkable(): boolean {
    const { isPublisher, parameters } = this.#options;
    return (this.isLasting || parameters().hold === 'onDemand' || isPublisher) && this.#isQuiet;
  }

  /** Whether another instance may have it: nothing is lost with the network connection, and nothing is under way. */
  get isMovable(): boolean {
    return this.isLasting && this.#isQuiet && !this.#options.isPublisher;
  }

  /** Whether it is a publisher on which nothing is under way, whoever began it. */
  get isAtRest(): boolean {
    const { isPublisher, outbound } = this.#options;
    return isPublisher && (this.#wasAtRest || outbound.isComplete) && this.#isIdle;
  }

  /** Whether a network connection is of use now: one on demand, and a publisher, need it while something is under way. */
  get isNeeded(): boolean {
    const { isPublisher, parameters } = this.#options;
    if (isPublisher) return !this.isAtRest;
    return parameters().hold === 'always' || !this.#isIdle;
  }

  /** When somebody has to look at it once nobody owns it, in milliseconds; null: not before it is asked for. */
  get nextLookMs(): number | null {
    const { isPublisher, session, parameters } = this.#options;
    // A publisher that is parked needs its session no more.
    if (isPublisher && session.status.state === 'parked') return null;
    return nextLookMs(session.status, parameters());
  }

  /** Milliseconds since a caller used it, or the broker sent something. */
  get idleMs(): number {
    return Math.min(this.#unused.elapsedMs, this.#options.network.quietMs);
  }

  /** Whether a caller has used it here. */
  get wasUsed(): boolean {
    return this.#wasUsed;
  }

  /** A caller uses it. */
  use(): void {
    this.#wasUsed = true;
    this.#unused.restart();
  }

  /** The lease is a new one: what the owner before left is known by what is stored. */
  taken(): void {
    const { session } = this.#options;
    this.#wasAtRest = !session.isStored || session.status.state === 'parked';
  }

  /** Detaches for now: the session lives on at the broker, and whoever needs it attaches again. False when in use. */
  async park(): Promise<boolean> {
    const { network, wayBack, hasEnded, attachForCaller } = this.#options;
    const parked = await network.exclusively(async () => {
      if (!this.isParkable || hasEnded()) return false;
      await network.end();
      // It was used meanwhile.
      if (!this.#isIdle) return false;
      wayBack.cancel();
      await this.#saveParked(PARKED);
      await this.release();
      return true;
    });
    // Whoever did that may have found it attached still.
    if (!this.#isIdle) attachForCaller();
    return parked;
  }

  /**
   * Attaches, and waits until the broker has sent what it kept; false when it had not fallen silent by then. The signal
   * ends the attempt to attach, too.
   */
  async drain(budgetMs: number, signal: AbortSignal): Promise<boolean> {
    const { network, session } = this.#options;
    const spent = new Stopwatch();
    await this.#attach(signal);
    const complete = await network.fallsSilent(budgetMs - spent.elapsedMs, signal);
    if (complete) session.set({ drains: session.status.drains + 1 });
    return complete;
  }

  /**
   * It could not be drained: stays parked until it is due again, with the reason to be seen. One whose outbox waits is
   * `offline`, and tried again soon.
   */
  async rest(error: unknown): Promise<void> {
    const { network, session, wayBack, parameters } = this.#options;
    await network.exclusively(async () => {
      if (session.lease === null || network.exists || this.#isRefused) return;
      wayBack.cancel();
      const waits = await this.#hasToSend();
      const problem = problemOfFailure(error, parameters().protocolVersion);
      session.setState(waits ? 'offline' : 'parked', stateReason(problem));
      await session.save();
      // There will be room soon, here or elsewhere; a broker that is away need not be asked so often.
      const soonMs = problem.type === 'overloaded' ? ROOM_RETRY_MS : waits ? OUTBOX_RETRY_MS : null;
      await session.release(soonMs ?? this.nextLookMs);
    });
  }

  /** Nothing is under way on one that is not attached: who needs it next, here or elsewhere, takes it again. */
  giveBack(): Promise<void> {
    const { network, session } = this.#options;
    return network.exclusively(async () => {
      if (this.isNeeded || network.exists || session.lease === null) return;
      await this.#saveParked(PARKED);
      await this.release();
    });
  }

  /** In a function, before a request: takes the lease, and makes sure that what is left of the one before is alive. */
  async awaken(): Promise<void> {
    const { network, own } = this.#options;
    if (!network.exists) return;
    await own();
    await network.prove();
  }

  /**
   * In a function, before the answer leaves: gives the lease back. The network connection stays where losing it costs
   * nothing: no Will, nothing subscribed, and nobody who waits to connect in its place. Else it ends, in order; with
   * `hurry`, why there is no time for that, at once, but with DISCONNECT: it is no reason to publish the Will.
   */
  async letGo(hurry: Problem | null = null): Promise<void> {
    const { network, session, outbound, wayBack, hasEnded } = this.#options;
    if (hurry !== null) {
      network.abandon(hurry);
      outbound.refuseWaiting(hurry);
    }
    await network.exclusively(async () => {
      if (session.lease === null || hasEnded()) return;
      // An exchange is over for its caller before the store has forgotten it.
      if (hurry === null) await within(FORGETTING_MS, outbound.exchangesForgotten());
      if (network.exists && this.#isCheapToLose && this.#isIdle) {
        // Whatever keeps it from that, the lease is given back below.
        const lending = this.#saveAtRest().then(() => session.lend(this.nextLookMs));
        if (await lending.catch(() => false)) return;
      }
      await network.end();
      wayBack.cancel();
      // Were the lease kept, it would be renewed for as long as the process lives.
      await this.#saveAtRest().finally(() => this.release());
    });
  }

  /** One whose broker cannot be reached says that; one whose outbox waits is `offline`, and so looked at soon. */
  async #saveAtRest(): Promise<void> {
    const { session, outbox } = this.#options;
    const { state, reason } = session.status;
    if (this.#isRefused) return;
    if (!outbox.isIdle && (await this.#hasToSend())) {
      session.setState('offline', reason ?? OUTBOX_WAITS);
      await session.save();
    } else if (state !== 'parked') {
      await this.#saveParked(state === 'offline' && reason !== null ? reason : PARKED);
    }
  }

  async #attach(signal: AbortSignal): Promise<void> {
    const { network } = this.#options;
    const giveUp = () => {
      if (network.isBeingMade) network.abandon(new Problem('no-answer', { detail: 'Not attached in the time left' }));
    };
    signal.addEventListener('abort', giveUp);
    try {
      await network.makeInTime();
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  /** Whether another function stands in line for the lease. */
  isAwaited(): Promise<boolean> {
    return this.#options.session.isAwaited();
  }

  /** Its owner stops, and nothing is to be done for it. */
  setParked(): void {
    this.#options.session.setState('parked', PARKED);
  }

  /** Gives the lease back. */
  release(): Promise<void> {
    return this.#options.session.release(this.nextLookMs);
  }

  /** Whether the outbox has something. */
  async #hasToSend(): Promise<boolean> {
    const { key, publications } = this.#options;
    return (await publications.outbox(key, 0, 1)).length > 0;
  }

  async #saveParked(reason: StateReason): Promise<void> {
    this.#options.session.setState('parked', reason);
    await this.#options.session.save();
  }

  get #isRefused(): boolean {
    const { state } = this.#options.session.status;
    return state === 'refused' || state === 'takenOver';
  }

  get #isIdle(): boolean {
    const { outbound, outbox } = this.#options;
    return outbound.isIdle && outbox.isIdle;
  }

  get #isQuiet(): boolean {
    const { session, network } = this.#options;
    return session.status.state === 'online' && this.#isIdle && network.hasSettled && !network.isBeingMade;
  }

  get #isCheapToLose(): boolean {
    const { will, subscriptions = [] } = this.#options.parameters();
    return will === undefined && subscriptions.length === 0 && this.#options.session.table.granted.length === 0;
  }
}
