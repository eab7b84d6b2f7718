import { Problem } from '../errors/problem.ts';
import { Connections } from './connections.ts';
import type { BridgeDependencies, BrokerProfile } from './dependencies.ts';
import { Documents } from './documents.ts';
import type { Bridge, PublishRequest, PublishResult, Readiness } from './facade.ts';
import { storeProblem } from './link-problems.ts';
import { Messages } from './messages.ts';
import { Pool } from './pool.ts';
import { PooledClient } from './pooled-client.ts';
import { StoreUnavailable } from './ports.ts';
import { Records } from './records.ts';
import { Removals } from './removals.ts';
import { RetainedReader } from './retained.ts';
import { Revival } from './revival.ts';
import { Subscriptions } from './subscriptions.ts';
import { Views } from './views.ts';

/** How long a read of one retained message may take. */
const RETAINED_TIMEOUT_MS = 5_000;
const READINESS_TIMEOUT_MS = 2_000;

/** The bridge over the given store and brokers. It does nothing before `start`, except what it is asked for. */
export function createBridge(dependencies: BridgeDependencies): Bridge {
  const { store, brokers, maxPayload } = dependencies;
  const documents = new Documents(dependencies.secretBox);
  const pool = new Pool(dependencies, documents);
  const views = new Views(dependencies, documents, pool);
  const removals = new Removals(store, pool);
  const records = new Records(store.connections, documents, pool);
  const subscriptions = new Subscriptions(records, documents, pool, views);
  const connections = new Connections(dependencies, documents, records, pool, views, removals);
  const messages = new Messages(store, views);
  const revival = new Revival(dependencies, pool, removals);
  const publishers = perBroker(brokers, (profile) => new PooledClient(profile));
  const readers = perBroker(brokers, (profile) => new RetainedReader(profile, maxPayload));

  const bridge: Bridge = {
    openConnection: (input) => connections.open(input),
    declareConnection: (id, input) => connections.declare(id, input),
    patchConnection: (id, patch) => connections.patch(id, patch),
    getConnection: (id) => connections.get(id),
    listConnections: (request) => connections.list(request),
    deleteConnection: (id, how) => connections.remove(id, how),
    attachConnection: (id) => connections.attach(id),
    detachConnection: (id, how) => connections.detach(id, how),
    publish: async (id, requests) => {
      const connection = await connections.live(id);
      return settleAll(requests, ({ message, timeoutMs }) => connection.publish(message, timeoutMs));
    },
    publishPooled: async (broker, requests) => {
      const publisher = publishers.get(broker);
      return settleAll(requests, ({ message, timeoutMs }) => publisher.publish(message, timeoutMs));
    },
    readMessages: async (id, request) => messages.read(await records.require(id), request),
    acknowledgeMessages: async (id, request) => ({
      removed: await messages.acknowledge(await records.require(id), request),
    }),
    listSubscriptions: (id) => subscriptions.list(id),
    addSubscriptions: (id, requests) => subscriptions.add(id, requests),
    removeSubscription: (id, filter) => subscriptions.remove(id, filter),
    retainedMessage: async (broker, topic) => readers.get(broker).one(topic, RETAINED_TIMEOUT_MS),
    retainedMessages: async (broker, request) => readers.get(broker).page(request),
    readiness: async () => readiness(store, publishers),
    start: async () => {
      pool.start();
      await revival.start();
    },
    stop: async () => {
      revival.stop();
      removals.stop();
      await Promise.all([pool.stop(), ...[...publishers.made, ...readers.made].map((client) => client.stop())]);
    },
  };
  return withStoreProblems(bridge);
}

/** Publishes in order; what became of each is in the results, in the same order. */
function settleAll(
  requests: readonly PublishRequest[],
  publish: (request: PublishRequest) => ReturnType<PooledClient['publish']>,
): Promise<PublishResult[]> {
  return Promise.all(requests.map((request) => publish(request).catch(toProblem)));
}

function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof StoreUnavailable) return storeProblem(error);
  return new Problem('internal', { cause: error });
}

interface PerBroker<Client> {
  get(broker: string): Client;
  readonly made: Iterable<Client>;
}

/** One client per broker profile, made when first asked for; an unknown profile is an invalid request. */
function perBroker<Client>(
  brokers: ReadonlyMap<string, BrokerProfile>,
  make: (profile: BrokerProfile) => Client,
): PerBroker<Client> {
  const clients = new Map<string, Client>();
  return {
    made: { [Symbol.iterator]: () => clients.values() },
    get(broker) {
      const known = clients.get(broker);
      if (known !== undefined) return known;
      const profile = brokers.get(broker);
      if (profile === undefined) {
        const detail = `There is no broker profile ${JSON.stringify(broker)}`;
        throw new Problem('invalid-request', { detail, errors: [{ pointer: '?broker', detail }] });
      }
      const client = make(profile);
      clients.set(broker, client);
      return client;
    },
  };
}

async function readiness(store: BridgeDependencies['store'], publishers: PerBroker<PooledClient>): Promise<Readiness> {
  const [storeState, broker] = await Promise.all([
    check(store.ping()),
    check(Promise.resolve().then(() => publishers.get('default').link())),
  ]);
  return { ready: storeState.ok && broker.ok, store: storeState, broker };
}

async function check(task: Promise<unknown>): Promise<{ ok: boolean; detail?: string }> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), READINESS_TIMEOUT_MS);
  });
  try {
    await Promise.race([task, late]);
    return { ok: true };
  } catch (error) {
    return { ok: false, detail: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timer);
  }
}

/** Wherever the store fails under a request, the caller learns the same: `store-unavailable`. */
function withStoreProblems(bridge: Bridge): Bridge {
  const guarded = Object.entries(bridge).map(([name, method]) => [
    name,
    (...args: never[]) =>
      (method as (...args: never[]) => Promise<unknown>)(...args).catch((error: unknown) => {
        throw error instanceof StoreUnavailable ? storeProblem(error) : error;
      }),
  ]);
  return Object.fromEntries(guarded) as Bridge;
}
