import type { Requester } from './balancer.ts';
import type { Environment } from './bridge-process.ts';
import { type BrokerEvent, type BrokerLog, CONNECTIONS_ONLY, followBroker } from './broker-log.ts';
import { type Fleet, type FleetOptions, type Instance, LEASE_TTL_MS, startFleet } from './fleet.ts';
import type { FleetStore } from './fleet-stores.ts';
import { type InstanceWires, startFleetWires } from './fleet-wires.ts';
import { type RawSubscriber, startSubscriber } from './kill-subscriber.ts';
import { PATIENT_BROKER } from './kill-traffic.ts';
import { type Mosquitto, startMosquitto } from './mosquitto.ts';
import { until } from './until.ts';

/** Milliseconds for hooks that start one: processes take long to start on a machine that is busy with other tests. */
export const SCENE_WITHIN = 60_000;
/** Milliseconds without a connection that begins or ends: several announcements of the instances to each other. */
const SETTLED_AFTER = (2 / 3) * LEASE_TTL_MS;

/** What callers see of a Connection, as far as these tests look. */
export interface View {
  readonly id: string;
  readonly state: string;
  readonly owner: string | null;
  readonly generation: number;
  readonly queue: { readonly depth: number };
}

export interface SceneOptions<Store extends FleetStore> extends Pick<FleetOptions, 'count' | 'program'> {
  readonly startStore: () => Promise<Store>;
  /** Of all instances. */
  readonly env?: Environment;
  /** Gives each instance wires of its own to the broker and to the first Redis server. */
  readonly wired?: boolean;
  /** More lines of mosquitto.conf. */
  readonly config?: readonly string[];
}

/** Several instances on one Redis before one Mosquitto, and who judges them. */
export interface Scene<Store extends FleetStore = FleetStore> {
  readonly broker: Mosquitto;
  readonly log: BrokerLog;
  readonly store: Store;
  readonly fleet: Fleet;
  /** Has the Wills that the broker published, of Connections made with `parameters`. */
  readonly wills: RawSubscriber;
  /** Of an instance, where they are wired. */
  wiresOf(instance: Instance): InstanceWires;
  stop(): Promise<void>;
}

export async function startScene<Store extends FleetStore>({
  startStore,
  count = 3,
  env = {},
  wired = false,
  config = [],
  ...program
}: SceneOptions<Store>): Promise<Scene<Store>> {
  const [broker, store] = await Promise.all([
    startMosquitto({ config: [...PATIENT_BROKER, ...CONNECTIONS_ONLY, ...config] }),
    startStore(),
  ]);
  const ends: (() => unknown)[] = [() => broker.stop(), () => store.stop()];
  const stop = async () => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    const log = followBroker(broker);
    const wills = await startSubscriber(broker.port, 'judge-of-wills', 'will/#');
    ends.push(() => wills.stop());
    const wires = wired ? await startFleetWires(broker.url, store.servers[0]?.url ?? '', count) : null;
    ends.push(() => wires?.stop());
    const envOf = (nodeId: string) => ({ ...wires?.env(nodeId), ...env });
    const fleet = await startFleet({ broker, store, count, env: envOf, ...program });
    ends.push(() => fleet.end());
    const wiresOf = ({ nodeId }: Instance) => {
      if (wires === null) throw new Error('these instances have no wires');
      return wires.of(nodeId);
    };
    return { broker, log, store, fleet, wills, wiresOf, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export const pathOf = (id: string) => `/v1/connections/${id}`;

/** Of a Connection that has a Will, and a session and a queue that persist, unless `session` says how long it lives. */
export const parameters = (id: string, session = 3_600) => ({
  ...(session === 0 ? {} : { cleanStart: false, sessionExpiryInterval: session }),
  will: { topic: `will/${id}`, payload: 'gone', qos: 1 },
  subscriptions: [{ filter: `${id}/in`, qos: 1 }],
});

/** Declares a Connection, which is to be online by then. */
export async function declare(requester: Requester, id: string, json: object = parameters(id)): Promise<View> {
  const answer = await requester.request<View>('PUT', pathOf(id), { json });
  if (answer.json?.state !== 'online') throw new Error(`${id} is not online: ${answer.text}`);
  return answer.json;
}

/** Declares so many, named `prefix-0` and so on, a few at a time. */
export async function declareMany(
  requester: Requester,
  prefix: string,
  count: number,
  json: (id: string) => object = parameters,
): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
  for (let next = 0; next < count; next += 6) {
    await Promise.all(ids.slice(next, next + 6).map((id) => declare(requester, id, json(id))));
  }
  return ids;
}

/** All Connections by their ids, as the next instance sees them. */
export async function views(requester: Requester): Promise<ReadonlyMap<string, View>> {
  const { json, text } = await requester.request<{ connections: View[] }>('GET', '/v1/connections?limit=1000');
  if (json?.connections === undefined) throw new Error(`not a list of Connections: ${text}`);
  return new Map(json.connections.map((view) => [view.id, view]));
}

/** Waits until all are online and owned; answers them. */
export async function untilAllOnline(requester: Requester, within = 10_000): Promise<ReadonlyMap<string, View>> {
  const all = async () => {
    // One that has just been cut off from the store, or started, cannot tell yet.
    const found = await views(requester).catch(() => null);
    if (found === null) return null;
    return [...found.values()].every(({ state, owner }) => state === 'online' && owner !== null) ? found : null;
  };
  return await until(all, { what: 'all Connections are online', within });
}

/** Waits until nothing has moved from one instance to another for a while: after one has joined, some do. */
export async function untilSettled({ fleet, log }: Scene): Promise<ReadonlyMap<string, View>> {
  const quietFor = () => performance.now() - (log.events.at(-1)?.at ?? 0);
  await until(() => quietFor() > SETTLED_AFTER, { what: 'the instances have settled', within: 30_000 });
  return await untilAllOnline(fleet);
}

/** The ids that an instance owns. */
export function ownedBy(all: ReadonlyMap<string, View>, instance: Instance | string): string[] {
  const nodeId = typeof instance === 'string' ? instance : instance.nodeId;
  return [...all.values()].filter(({ owner }) => owner === nodeId).map(({ id }) => id);
}

/** How many each owner has. */
export function loads(all: ReadonlyMap<string, View>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { owner } of all.values()) counts[owner ?? 'nobody'] = (counts[owner ?? 'nobody'] ?? 0) + 1;
  return counts;
}

export async function ownerOf({ fleet }: Scene, id: string): Promise<Instance> {
  const { json, text } = await fleet.request<View>('GET', pathOf(id));
  if (!json?.owner) throw new Error(`nobody owns ${id}: ${text}`);
  return fleet.named(json.owner);
}

/** Declares a Connection in a scene of three; answers its owner, and the two others. */
export async function opened(scene: Scene, id: string): Promise<{ owner: Instance; one: Instance; other: Instance }> {
  await declare(scene.fleet, id);
  const owner = await ownerOf(scene, id);
  const [one, other] = scene.fleet.others(owner);
  if (one === undefined || other === undefined) throw new Error('there are not three instances');
  return { owner, one, other };
}

/** Asks all instances at the same time. */
export function atAll<T>({ fleet }: Scene, ask: (instance: Instance) => Promise<T>): Promise<T[]> {
  return Promise.all(fleet.instances.map(ask));
}

/** A Connection, as one instance shows it. */
export async function viewAt(instance: Requester, id: string): Promise<View> {
  return (await instance.request<View>('GET', pathOf(id))).json;
}

/**
 * Waits until the broker has accepted each of them since a moment (`performance.now()`). Answers how many milliseconds
 * after it that was, of each.
 */
export async function connectedSince(
  log: BrokerLog,
  ids: readonly string[],
  since: number,
  within: number,
): Promise<number[]> {
  const first = (id: string) => log.of(id, 'connected').find(({ at }) => at > since);
  await untilNone(() => ids.filter((id) => first(id) === undefined), 'a CONNECT of', within);
  return ids.map((id) => (first(id)?.at ?? 0) - since);
}

/** Waits until that has become of each of these clients: the log, and what callers are shown, come a moment later. */
export async function untilStory(
  log: BrokerLog,
  ids: readonly string[],
  since: number,
  whole: RegExp | ((id: string) => RegExp),
): Promise<void> {
  const isWhole = (id: string) => (whole instanceof RegExp ? whole : whole(id)).test(story(log, id, since));
  const others = () => ids.filter((id) => !isWhole(id)).map((id) => `${id}: ${story(log, id, since)}`);
  await untilNone(others, 'another story of', 5_000);
}

/** The error names what is left. */
async function untilNone(left: () => readonly string[], what: string, within: number): Promise<void> {
  try {
    await until(() => left().length === 0, { what, within });
  } catch (cause) {
    throw new Error(`not within ${within} ms: ${what} ${left().join('; ')}`, { cause });
  }
}

/** What became of a client at the broker since a moment: `disconnected, connected`. */
export function story(log: BrokerLog, id: string, since: number): string {
  const kinds = log.of(id).filter(({ at }) => at > since);
  return kinds.map(({ kind }: BrokerEvent) => kind).join(', ');
}
