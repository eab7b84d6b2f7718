import { Problem } from '../../errors/problem.ts';
import { outcomeUnknown } from '../delivery/publish-answers.ts';
import type { Bridge, KeptAnswer, KeptRequest, PublishRequest, PublishResult } from '../facade.ts';
import { notOwner, storeProblem } from '../link/link-problems.ts';
import { keyedSlot } from '../publishers/slots.ts';
import { type Courier, Unanswered, Unreachable } from './courier.ts';
import type { Directory } from './directory.ts';
import type { Placement } from './fleet.ts';
import type { LineOptions } from './line.ts';
import { Search } from './search.ts';

/** What only the owner of a Connection can do. */
export type Routed = Pick<
  Bridge,
  | 'openConnection'
  | 'declareConnection'
  | 'patchConnection'
  | 'deleteConnection'
  | 'attachConnection'
  | 'detachConnection'
  | 'publish'
  | 'publishKept'
  | 'publishPooled'
  | 'publishPooledKept'
  | 'addSubscriptions'
  | 'drain'
  | 'removeSubscription'
>;

const ROUTED: ReadonlySet<string> = new Set<keyof Routed>([
  'openConnection',
  'declareConnection',
  'patchConnection',
  'deleteConnection',
  'attachConnection',
  'detachConnection',
  'publish',
  'publishKept',
  'publishPooled',
  'publishPooledKept',
  'addSubscriptions',
  'drain',
  'removeSubscription',
]);

/** Longer than any request waits for a broker: three connect time-outs of 120 s. */
const PATIENCE_MS = 370_000;
const TIMES = {
  /** How long a call may be on its way, beyond the time that a publish may take, in milliseconds. */
  graceMs: 3_000,
  /** How long an owner is looked for while the lease is on its way from one instance to another. */
  searchMs: 5_000,
};

export interface RouterOptions extends LineOptions {
  /** Does it here, if this instance is the owner or can become it. */
  local: Routed;
  courier: Pick<Courier, 'call'>;
  directory: Directory;
  placement: Placement;
  /** Others than those of `TIMES`. */
  times?: Partial<typeof TIMES>;
}

/** How a request finds its way. */
interface Route {
  /** How long the owner may take. */
  withinMs?: number;
  /** What is answered when the owner gives no answer. */
  unanswered?: (error: unknown) => Problem;
  /** Where to when there is no such Connection; null: here. */
  otherwise?: () => Promise<string | null>;
}

/**
 * Here, or to the owner: any instance can be asked for anything. What comes back as `not-owner` or `shutting-down` was
 * not done, so it is tried again wherever the owner is by then.
 */
export class Router implements Routed {
  readonly #options: RouterOptions;
  readonly #times: typeof TIMES;
  /** Why nothing is done here any more. */
  #closed: Problem | null = null;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#times = { ...TIMES, ...options.times };
  }

  /** This instance takes nothing any more; what it owns still, and what others own, is done. */
  close(why: Problem): void {
    this.#closed = why;
  }

  /** A new Connection goes to the instance that has least to do. */
  openConnection: Bridge['openConnection'] = async (input) => {
    const { local, courier, placement } = this.#options;
    const { id } = input.parameters;
    if (id !== undefined) {
      return this.#route(id, 'openConnection', [input], { otherwise: () => placement.placeElsewhere() });
    }
    const elsewhere = await placement.placeElsewhere();
    if (elsewhere === null) {
      if (this.#closed !== null) throw this.#closed;
      return local.openConnection(input);
    }
    return (await courier.call(elsewhere, 'openConnection', [input], PATIENCE_MS).catch((error) => {
      if (isNotDone(error)) return local.openConnection(input);
      throw noAnswer(error);
    })) as Awaited<ReturnType<Bridge['openConnection']>>;
  };

  declareConnection: Bridge['declareConnection'] = (id, input) =>
    this.#route(id, 'declareConnection', [id, input], { otherwise: () => this.#options.placement.placeElsewhere() });
  patchConnection: Bridge['patchConnection'] = (id, patch) => this.#route(id, 'patchConnection', [id, patch]);
  deleteConnection: Bridge['deleteConnection'] = (id, how) => this.#route(id, 'deleteConnection', [id, how]);
  attachConnection: Bridge['attachConnection'] = (id) => this.#route(id, 'attachConnection', [id]);
  detachConnection: Bridge['detachConnection'] = (id, how) => this.#route(id, 'detachConnection', [id, how]);
  addSubscriptions: Bridge['addSubscriptions'] = (id, requests) => this.#route(id, 'addSubscriptions', [id, requests]);
  removeSubscription: Bridge['removeSubscription'] = (id, filter) =>
    this.#route(id, 'removeSubscription', [id, filter]);

  drain: Bridge['drain'] = (id, budgetMs, drains) => this.#route(id, 'drain', [id, budgetMs, drains]);

  publish: Bridge['publish'] = (id, requests) => this.#publish(id, 'publish', requests, (left) => [id, left]);
  /** An instance has publishers of its own for what has no idempotency key; only their leases can go to others. */
  publishPooled: Bridge['publishPooled'] = (broker, requests) =>
    this.#publish(null, 'publishPooled', requests, (left) => [broker, left]);
  publishKept: Bridge['publishKept'] = (id, request) => this.#publishKept(id, 'publishKept', [id, request], request);
  publishPooledKept: Bridge['publishPooledKept'] = (broker, request) => {
    const { idempotencyKey } = request;
    const slot = idempotencyKey === null ? null : keyedSlot(broker, idempotencyKey);
    return this.#publishKept(slot, 'publishPooledKept', [broker, request], request);
  };

  /** With an idempotency key a repeat sends what was not sent, and only that. */
  async #publishKept(
    id: string | null,
    method: 'publishKept' | 'publishPooledKept',
    args: readonly unknown[],
    request: KeptRequest,
  ): Promise<KeptAnswer> {
    return this.#searching(async (search) => {
      const how = {
        withinMs: timeOf(request) + this.#times.graceMs,
        unanswered: unknownOutcome,
        otherwise: () =>
          method === 'publishPooledKept' ? this.#options.placement.placeElsewhere() : Promise.resolve(null),
      };
      for (;;) {
        const answer = await this.#find<KeptAnswer>(search, id, method, args, how);
        const elsewhere = 'results' in answer ? answer.results.find((result) => isForAnother(id, result)) : undefined;
        if (elsewhere === undefined || request.idempotencyKey === null || search.isOver) return answer;
        this.#forget(id);
        await search.pause(elsewhere);
      }
    });
  }

  /** Each message of a batch has its own result: those that were not sent go on to the next owner. */
  async #publish(
    id: string | null,
    method: 'publish' | 'publishPooled',
    requests: readonly PublishRequest[],
    argsOf: (left: readonly PublishRequest[]) => readonly unknown[],
  ): Promise<PublishResult[]> {
    return this.#searching(async (search) => {
      const results: PublishResult[] = [];
      let left = requests;
      for (;;) {
        const withinMs = Math.max(...left.map(({ timeoutMs }) => timeoutMs)) + this.#times.graceMs;
        const how = { withinMs, unanswered: unknownOutcome };
        const answers = await this.#find<PublishResult[]>(search, id, method, argsOf(left), how);
        const first = answers.findIndex((answer) => isForAnother(id, answer));
        const from = first < 0 ? answers.length : first;
        results.push(...answers.slice(0, from));
        if (from === answers.length) return results;
        if (search.isOver) return [...results, ...answers.slice(from)];
        // They came back in their order, so that none overtakes another.
        const rest = answers.slice(from);
        if (!rest.every((answer) => isForAnother(id, answer))) return [...results, ...rest];
        left = left.slice(from);
        this.#forget(id);
        await search.pause(rest[0]);
      }
    });
  }

  async #searching<Result>(task: (search: Search) => Promise<Result>): Promise<Result> {
    const { leases, holder } = this.#options;
    const search = new Search({ leases, holder, searchMs: this.#times.searchMs });
    try {
      return await task(search);
    } finally {
      search.end();
    }
  }

  /** `id`: whose owner does it; null: this instance. */
  #route<Result>(id: string | null, method: keyof Routed, args: readonly unknown[], how?: Route): Promise<Result> {
    return this.#searching((search) => this.#find<Result>(search, id, method, args, how));
  }

  async #find<Result>(
    search: Search,
    id: string | null,
    method: keyof Routed,
    args: readonly unknown[],
    { withinMs = PATIENCE_MS, unanswered = noAnswer, otherwise = () => Promise.resolve(null) }: Route = {},
  ): Promise<Result> {
    const { local, courier, directory } = this.#options;
    for (;;) {
      try {
        const place = id === null ? 'here' : await directory.find(id);
        const nodeId = typeof place === 'object' ? place.nodeId : place === 'nowhere' ? await otherwise() : null;
        if (nodeId !== null) return (await courier.call(nodeId, method, args, withinMs)) as Result;
        if (this.#closed !== null && place !== 'owned') throw this.#closed;
        return (await perform(local, method, args)) as Result;
      } catch (error) {
        if (error instanceof Unanswered) throw unanswered(error);
        if (!isForAnother(id, error) || error === this.#closed) throw error;
        this.#forget(id);
        if (search.isOver) throw error instanceof Unreachable ? notOwner() : error;
        await search.pause(error);
      }
    }
  }

  #forget(id: string | null): void {
    if (id !== null) this.#options.directory.forget(id);
  }
}

/** Does what another instance asks for, here. */
export function perform(local: Routed, method: string, args: readonly unknown[]): Promise<unknown> {
  if (!ROUTED.has(method)) throw new Problem('not-found', { detail: `There is no ${method}` });
  return (local[method as keyof Routed] as (...args: readonly unknown[]) => Promise<unknown>)(...args);
}

/** Whether nothing was done of what was asked for, because it was asked of the wrong instance. */
function isNotDone(answer: unknown): boolean {
  if (answer instanceof Unreachable) return true;
  return answer instanceof Problem && (answer.type === 'not-owner' || answer.type === 'shutting-down');
}

/** Whether it is to be tried again: what this instance does for itself is not done by another when it stops. */
function isForAnother(id: string | null, answer: unknown): boolean {
  return isNotDone(answer) && !(id === null && answer instanceof Problem && answer.type === 'shutting-down');
}

function noAnswer(error: unknown): Problem {
  if (error instanceof Unanswered) {
    return new Problem('no-answer', {
      detail: 'The owner gave no answer: it is not known whether it was done',
      cause: error,
    });
  }
  return error instanceof Problem ? error : storeProblem(error);
}

function unknownOutcome(): Problem {
  return outcomeUnknown('The owner of the Connection gave no answer');
}

function timeOf({ items }: KeptRequest): number {
  return Math.max(0, ...items.map((item) => (item instanceof Problem ? 0 : item.timeoutMs)));
}
