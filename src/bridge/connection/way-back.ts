import { Problem } from '../../errors/problem.ts';
import type { ProtocolVersion } from '../../mqtt/protocol-version.ts';
import type { ConnectionParameters } from '../../schemas/connection.ts';
import type { StateReason } from '../../schemas/connection-view.ts';
import type { Outbound } from '../delivery/outbound.ts';
import type { Log } from '../dependencies.ts';
import type { LinkEnd } from '../link/link-end.ts';
import {
  isWorthRetrying,
  notOwner,
  problemOf,
  problemOfEnd,
  problemOfFailure,
  stateReason,
  storeProblem,
} from '../link/link-problems.ts';
import { type Key, StaleEpoch } from '../ports.ts';
import { LostWhileOpening } from './attaching.ts';
import { Retry } from './retry.ts';
import type { Session } from './session.ts';
import { Takeovers } from './takeover.ts';

export interface WayBackOptions {
  key: Key;
  session: Session;
  outbound: Pick<Outbound, 'refuseWaiting'>;
  log: Log;
  parameters: () => ConnectionParameters;
  /** Attaches, if that is wanted still. */
  attempt: () => void;
  /** Runs a task while nothing else changes the network connection, and only if there is none. */
  whileDetached: (task: () => Promise<void>) => Promise<void>;
  /** The store failed under us, or refused. */
  onStoreFailure: (error: unknown) => void;
  /** Another instance has it: what becomes of it is that one's business. */
  onDisowned: (why: Problem) => void;
  /** Null for a Connection of a caller. */
  publisher: PublisherWayBack | null;
}

/** A pooled publisher has no user who would attach it again, and no other client knows its ClientID. */
export interface PublisherWayBack {
  /** Has the next CONNECT say another protocol version, if that is what the broker refused; whether to try it at once. */
  fallBack: (error: unknown) => Promise<boolean>;
  /** Whether callers wait: they have seconds, and are to notice soon that a broker is back. */
  isAwaited: () => boolean;
}

/** Between two attempts of a publisher that callers wait for at most, in milliseconds. */
const LONGEST_AWAITED_MS = 2_000;

/** The reason's code, for as long as another client has the ClientID: in the state `takenOver`, and before a reclaim. */
const TAKEN_OVER = 'taken-over';
const ANOTHER_CLIENT = 'Another client uses this ClientID';

/**
 * What becomes of a Connection that could not attach, or was lost: its state says why, and it tries again by itself
 * (`offline`) or rests until somebody attaches it (`refused`, `takenOver`).
 */
export class WayBack {
  readonly #options: WayBackOptions;
  readonly #session: Session;
  readonly #retry: Retry;
  readonly #takeovers = new Takeovers();
  #waitsToReclaim = false;
  #ended = false;

  constructor(options: WayBackOptions) {
    this.#options = options;
    this.#session = options.session;
    this.#retry = new Retry(options.attempt);
  }

  /** Whether another client has the ClientID now, and with it the session. */
  get isTakenOver(): boolean {
    const { state, reason } = this.#session.status;
    return state === 'takenOver' || reason?.code === TAKEN_OVER;
  }

  /** Tries at once, but for a ClientID that is left to another client for now. */
  tryNow(): void {
    if (!this.#ended && !this.#waitsToReclaim) this.#retry.after(0);
  }

  /** A caller waits: the attempt that is to come, comes soon where it is a publisher's. */
  hurry(): void {
    if (this.#options.publisher !== null) this.#retry.hurry(LONGEST_AWAITED_MS);
  }

  /** An attempt begins, or none is wanted. */
  cancel(): void {
    this.#waitsToReclaim = false;
    this.#retry.cancel();
  }

  /** Nothing is tried any more, whatever fails from here on. */
  end(): void {
    this.#ended = true;
    this.#retry.cancel();
  }

  /** Somebody asked to attach: the ClientID may be taken back as often as at first. */
  forgetTakeovers(): void {
    this.#takeovers.forget();
  }

  /** An attempt to attach failed by itself. Answers the problem for who waits for it. */
  async failed(error: unknown): Promise<Problem> {
    const problem = problemOfFailure(error, this.#version);
    if (this.#ended) return problem;
    const { key, log, onDisowned, publisher } = this.#options;
    if (problem.type === 'internal') log.error({ err: error, key }, 'attaching failed');
    if (problem.type === 'not-owner') {
      // Another request may have come first in line meanwhile: then the lease is not to be forgotten.
      if (this.#session.lease === null) onDisowned(problem);
      else this.tryNow();
    } else if (publisher !== null) {
      await this.#publisherFailed(publisher, error, problem);
    } else if (error instanceof LostWhileOpening && this.#isTakeover(error.end, error.connectedAt)) {
      await this.#takenOver(takenOver(problem));
    } else if (isWorthRetrying(error, this.#version)) {
      this.#session.setState('offline', stateReason(problem));
      this.#saveInBackground();
      this.#retryLater();
    } else {
      await this.#rest('refused', stateReason(problem));
    }
    return problem;
  }

  /** The network connection ended, and not by us; `connectedAt` is when CONNACK came, in milliseconds. */
  lost(end: LinkEnd, connectedAt: number): void {
    const { key, log, whileDetached, onStoreFailure } = this.#options;
    log.warn({ key, kind: end.kind, reasonCode: end.reasonCode }, 'connection lost');
    this.#retry.lived(Date.now() - connectedAt);
    const problem = problemOfEnd(end, this.#version);
    if (this.#isTakeover(end, connectedAt)) {
      const reason = takenOver(problem);
      this.#session.setState('offline', reason);
      whileDetached(() => this.#takenOver(reason)).catch(onStoreFailure);
    } else {
      this.#session.setState('offline', stateReason(problem));
      this.#saveInBackground();
      this.#retryLater();
    }
  }

  storeFailed(error: unknown): void {
    this.#session.setState('offline', stateReason(storeProblem(error)));
    this.#retryLater();
  }

  /** What a Connection that rests answers to who wants to use it. */
  notUsable(): Problem {
    const { state, reason } = this.#session.status;
    return new Problem('connection-not-usable', {
      detail: `The Connection is ${state}${reason === null ? '' : `: ${reason.detail}`}. Attach it to try again.`,
      ...(reason?.reasonCode === undefined ? {} : { reasonCode: reason.reasonCode }),
      ...(reason?.reason === undefined ? {} : { reason: reason.reason }),
    });
  }

  /** Whether it will try again by itself. */
  get isPending(): boolean {
    return this.#retry.isPending;
  }

  get #version(): ProtocolVersion {
    return this.#options.parameters().protocolVersion;
  }

  /** It never rests: whoever waits is told what will not mend soon, and the next to publish has it tried again. */
  async #publisherFailed({ fallBack }: PublisherWayBack, error: unknown, problem: Problem): Promise<void> {
    const before = this.#version;
    if (await fallBack(error).catch(() => false)) {
      this.#retry.after(0);
      return;
    }
    if (problem.type === 'overloaded' || !isWorthRetrying(error, before)) this.#options.outbound.refuseWaiting(problem);
    this.#session.setState('offline', stateReason(problem));
    this.#saveInBackground();
    this.#retryLater();
  }

  #isTakeover(end: LinkEnd, connectedAt: number): boolean {
    if (this.#options.publisher !== null) return false;
    return this.#takeovers.isTakeover(end, { connectedAt, now: Date.now(), version: this.#version });
  }

  /** An outsider has the ClientID, unless another instance had the lease meanwhile: then it was a hand-over. */
  async #takenOver(reason: StateReason): Promise<void> {
    const { onDisowned, parameters } = this.#options;
    const handedOver = await this.#session
      .acquire()
      .then((record) => (record === null ? null : notOwner()))
      .catch(problemOf);
    if (handedOver?.type === 'not-owner' || handedOver?.type === 'connection-not-found') {
      // With a lease that is ours again, but was another's meanwhile, it begins anew like any that nobody has.
      await this.#session.release(0).catch(() => undefined);
      onDisowned(handedOver);
      return;
    }
    if (handedOver !== null) {
      this.storeFailed(handedOver);
      return;
    }
    const wait = parameters().onTakeover === 'reclaim' ? this.#takeovers.nextReclaimMs() : null;
    if (wait === null) {
      await this.#rest('takenOver', { ...reason, detail: `${ANOTHER_CLIENT}; attach takes it back` });
      return;
    }
    this.#session.setState('offline', reason);
    this.#saveInBackground();
    if (this.#ended) return;
    this.#waitsToReclaim = true;
    this.#retry.after(wait);
  }

  /** Stays as it is until somebody attaches it. */
  async #rest(state: 'refused' | 'takenOver', reason: StateReason): Promise<void> {
    this.#session.setState(state, reason);
    this.#options.outbound.refuseWaiting(this.notUsable());
    await this.#session.save().catch(() => undefined);
    await this.#session.release(null).catch(() => undefined);
  }

  /** The status in the store is for other instances to see: the next change will say what a failure did not. */
  #saveInBackground(): void {
    this.#session.save().catch((error) => {
      if (error instanceof StaleEpoch) this.#options.onStoreFailure(error);
    });
  }

  #retryLater(): void {
    if (this.#ended) return;
    this.#retry.backOff(this.#options.publisher?.isAwaited() ? LONGEST_AWAITED_MS : undefined);
  }
}

function takenOver(problem: Problem): StateReason {
  return { ...stateReason(problem), code: TAKEN_OVER, detail: ANOTHER_CLIENT };
}
