import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { expect } from 'vitest';
import type { Bridge, PublishResult } from '../../../src/bridge/facade.ts';
import { Courier } from '../../../src/bridge/fleet/courier.ts';
import { Directory } from '../../../src/bridge/fleet/directory.ts';
import { createFrameBox } from '../../../src/bridge/fleet/frame-box.ts';
import { perform, Router } from '../../../src/bridge/fleet/router.ts';
import { notOwner } from '../../../src/bridge/link/link-problems.ts';
import type { Lease, Store } from '../../../src/bridge/ports.ts';
import { Problem } from '../../../src/errors/problem.ts';
import { LONG, newRecord, unique } from '../store/fixtures.ts';

const KEY = Buffer.alloc(32, 7);
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
/** Short, so that many histories fit: what they mean stays the same. */
const TIMES = { graceMs: 100, searchMs: 150 };
const TIMEOUT_MS = 50;

/** Who did what: each work of a caller, by the instance that did it. */
type Done = Map<string, string[]>;

/** One instance whose work is to note that it did it, under the lease of the real store. */
class Node {
  readonly nodeId: string;
  readonly router: Router;
  /** Answers no more, and gives nothing back: its process is gone. */
  dead = false;
  /** Takes calls, and answers none of them. */
  mute = false;
  lease: Lease | null = null;
  readonly #store: Store;
  readonly #id: string;
  readonly #done: Done;
  readonly #courier: Courier;

  constructor(nodeId: string, store: Store, id: string, done: Done) {
    this.nodeId = nodeId;
    this.#store = store;
    this.#id = id;
    this.#done = done;
    const holder = { nodeId, process: unique() };
    const local = { publish: (_id: string, [request]) => this.#work(request?.message.topic ?? '') } as Bridge;
    this.#courier = new Courier({
      bus: store.bus,
      members: store.members,
      box: createFrameBox([KEY]),
      holder,
      log: SILENT,
      serve: async (method, args) => {
        const answer = await perform(local, method, args);
        return this.mute ? new Promise(() => undefined) : answer;
      },
    });
    const pool = { isAtHand: () => this.lease !== null };
    const placement = { placeElsewhere: () => Promise.resolve(null) };
    const directory = new Directory({ store, pool, placement, nodeId });
    this.router = new Router({
      ...{ local, courier: this.#courier, directory, placement, times: TIMES },
      ...{ leases: store.leases, holder },
    });
  }

  start(): Promise<void> {
    return this.#courier.start();
  }

  async stop(): Promise<void> {
    await this.#courier.stop();
  }

  async release(): Promise<void> {
    const { lease } = this;
    this.lease = null;
    if (lease !== null) await this.#store.leases.release(lease);
  }

  /** As a Connection does: makes sure of the lease, then does it. */
  async #work(name: string): Promise<PublishResult[]> {
    const record = await this.#store.connections.byId(this.#id);
    if (record === null) throw new Problem('connection-not-found');
    const lease = await this.#store.leases.acquire(record.key, { nodeId: this.nodeId, process: this.nodeId }, LONG);
    if ('heldBy' in lease) {
      this.lease = null;
      throw notOwner();
    }
    this.lease = lease;
    this.#done.set(name, [...(this.#done.get(name) ?? []), this.nodeId]);
    return [{ qos: 1, reasonCode: 0, reason: 'Success', matched: null }];
  }
}

type Step =
  | { readonly what: 'ask'; readonly at: number }
  | { readonly what: 'release' | 'expire' | 'die' | 'mute'; readonly at: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    what: fc.oneof(
      { weight: 6, arbitrary: fc.constant('ask' as const) },
      { weight: 1, arbitrary: fc.constantFrom('release' as const, 'expire' as const, 'die' as const, 'mute' as const) },
    ),
    at: fc.nat(2),
  }),
  { minLength: 1, maxLength: 25 },
);

/**
 * Three instances are asked for work on one Connection, while leases end and are given back, instances die, or fall
 * silent. What was answered was done once, by the one that had the lease; what was refused was not done; of what got no
 * answer nobody can tell, but it was not done twice.
 */
export async function checkRouting(
  openStore: () => Promise<Store>,
  expire: (store: Store, id: string) => Promise<void>,
  numRuns: number,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(steps, async (history) => {
      const stores = await Promise.all([openStore(), openStore(), openStore()]);
      const [first] = stores;
      const id = unique('id');
      const done: Done = new Map();
      const prefix = unique('n');
      const nodes = stores.map((store, index) => new Node(`${prefix}-${index}`, store, id, done));
      try {
        await first?.connections.create(newRecord({ id }));
        await Promise.all(nodes.map((node) => node.start()));
        const asked: Promise<void>[] = [];
        for (const [index, { what, at }] of history.entries()) {
          const node = nodes[at];
          if (node === undefined || node.dead) continue;
          if (what === 'ask') asked.push(ask(node, id, `work-${index}`, done));
          else if (what === 'release') await node.release();
          else if (what === 'mute') node.mute = true;
          else if (what === 'expire') {
            for (const each of nodes) each.lease = null;
            if (first !== undefined) await expire(first, id);
          } else {
            node.dead = true;
            node.lease = null;
            await node.stop();
          }
          await turn();
        }
        await Promise.all(asked);
      } finally {
        await Promise.all(nodes.map((node) => node.stop()));
        await Promise.all([...new Set(stores)].map((store) => store.close()));
      }
    }),
    { numRuns },
  );
}

async function ask(node: Node, id: string, name: string, done: Done): Promise<void> {
  const message = { topic: name, payload: Buffer.from(name), qos: 1 as const, retain: false };
  const [answer] = await node.router
    .publish(id, [{ message, timeoutMs: TIMEOUT_MS }])
    .catch((error: unknown) => [error]);
  const times = done.get(name)?.length ?? 0;
  if (!(answer instanceof Problem)) expect(times, `${name} was answered`).toBe(1);
  else if (answer.type === 'outcome-unknown') expect(times, `${name} has no answer`).toBeLessThanOrEqual(1);
  else expect(times, `${name} is ${answer.type}`).toBe(0);
}
