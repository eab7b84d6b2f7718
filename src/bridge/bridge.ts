import { Problem } from '../errors/problem.ts';
import { Connections } from './connections.ts';
import type { BridgeDependencies } from './dependencies.ts';
import { Documents } from './documents.ts';
import { Drains } from './drains.ts';
import type { Bridge } from './facade.ts';
import { FunctionInstance } from './fleet/function-instance.ts';
import { Instance } from './fleet/instance.ts';
import { Keeper } from './keeper.ts';
import { Dialer } from './link/dial.ts';
import { problemOf } from './link/link-problems.ts';
import { Messages } from './messages.ts';
import { PerBroker } from './per-broker.ts';
import { Pool } from './pool.ts';
import { KeptPublishes } from './publications/kept-publishes.ts';
import { publishAll } from './publish-all.ts';
import { Publishers } from './publishers/publishers.ts';
import { SlotRecords } from './publishers/slot-records.ts';
import { readiness } from './readiness.ts';
import { Records } from './records.ts';
import { Removals } from './removals.ts';
import { RetainedReader } from './retained.ts';
import { Subscriptions } from './subscriptions.ts';
import { Views } from './views.ts';

/** How long a read of one retained message may take. */
const RETAINED_TIMEOUT_MS = 5_000;
/** How long who reads a queue waits for what the broker kept, in milliseconds. */
const DRAIN_BUDGET_MS = 10_000;

/** The bridge over the given store and brokers. It does nothing before `start`, except what it is asked for. */
export function createBridge(dependencies: BridgeDependencies): Bridge {
  const { mode, store, brokers, maxPayload } = dependencies;
  const documents = new Documents(dependencies.secretBox);
  const dialer = new Dialer(dependencies.isUrlAllowed);
  const slots = new SlotRecords(store.connections, documents);
  const fallBack: SlotRecords['fallBack'] = (slot, error) => slots.fallBack(slot, error);
  const pool = new Pool({ ...dependencies, fallBack }, documents, dialer);
  const views = new Views(dependencies, documents, pool);
  const removals = new Removals(dependencies, pool);
  const records = new Records(store.connections, documents, pool, dependencies.log);
  const subscriptions = new Subscriptions(records, documents, pool, views);
  const connections = new Connections({ ...dependencies, dialer }, documents, records, pool, views, removals);
  const keptPublishes = new KeptPublishes(dependencies);
  const messages = new Messages(dependencies, views);
  const drains = new Drains(connections);
  const keeper = new Keeper(dependencies, pool, removals);
  const publishers = new Publishers({ brokers, pool, records: slots, keptPublishes });
  const readers = new PerBroker(brokers, (profile) => new RetainedReader(profile, dialer, maxPayload));

  const local: Bridge = {
    openConnection: (input) => connections.open(input),
    declareConnection: (id, input) => connections.declare(id, input),
    patchConnection: (id, patch) => connections.patch(id, patch),
    getConnection: (id) => connections.get(id),
    listConnections: (request) => connections.list(request),
    deleteConnection: (id, how) => connections.remove(id, how),
    attachConnection: (id) => connections.attach(id),
    detachConnection: (id, how) => connections.detach(id, how),
    publish: async (id, requests) => publishAll(await connections.live(id), requests),
    publishKept: async (id, request) => keptPublishes.publish(await connections.live(id), request),
    getPublication: (publishId) => keptPublishes.find(publishId),
    publishPooled: (broker, requests) => publishers.publish(broker, requests),
    publishPooledKept: (broker, request) => publishers.publishKept(broker, request),
    drain: (id, budgetMs, seen) => drains.drain(id, budgetMs, seen),
    readMessages: async (id, request) =>
      messages.read(await records.require(id), request, (seen) => instance.routed.drain(id, DRAIN_BUDGET_MS, seen)),
    acknowledgeMessages: async (id, request) => ({
      removed: await messages.acknowledge(await records.require(id), request),
    }),
    listSubscriptions: (id) => subscriptions.list(id),
    addSubscriptions: (id, requests) => subscriptions.add(id, requests),
    removeSubscription: (id, filter) => subscriptions.remove(id, filter),
    retainedMessage: async (broker, topic) => readers.get(broker).one(topic, RETAINED_TIMEOUT_MS),
    retainedMessages: async (broker, request) => readers.get(broker).page(request),
    keep: async (budgetMs, signal) => {
      const isLeft = instance instanceof FunctionInstance && (await instance.hasGateway());
      return isLeft ? { drained: 0, remaining: false } : keeper.keep(budgetMs, signal);
    },
    readiness: async () => readiness(store, readers),
    start: async () => {
      pool.start();
      const predecessor = await instance.start();
      // A function has no time of its own: it keeps what is due when it is invoked for that.
      if (instance instanceof Instance) await keeper.start((key) => instance.passOn(key));
      if (predecessor?.hasPredecessor) {
        keeper.succeed().catch((err) => dependencies.log.warn({ err }, 'what this instance owned was not all found'));
      }
    },
    stop: async (leaveInMs) => {
      keeper.stop();
      drains.stop();
      removals.stop();
      const why = new Problem('shutting-down', { retryAfter: 5 });
      publishers.stop(why);
      await Promise.all([instance.giveUpAll(why, leaveInMs), ...[...readers.made].map((reader) => reader.stop())]);
      pool.stop();
      await instance.stop();
    },
  };
  const instance =
    mode === 'gateway'
      ? new Instance({ dependencies, local, pool, keeper })
      : new FunctionInstance({ dependencies, local, pool });
  return withStoreProblems({ ...local, ...instance.routed });
}

/** Wherever the store fails under a request, the caller learns the same; a start tells its failure as it is. */
function withStoreProblems({ start, stop, ...requests }: Bridge): Bridge {
  const guarded = Object.entries(requests).map(([name, method]) => [
    name,
    (...args: never[]) =>
      (method as (...args: never[]) => Promise<unknown>)(...args).catch((error: unknown) => {
        throw problemOf(error);
      }),
  ]);
  return { ...(Object.fromEntries(guarded) as typeof requests), start, stop };
}
