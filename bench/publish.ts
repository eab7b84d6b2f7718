import { callJson } from './json-http.ts';
import { publishBody, runLoad } from './load.ts';
import type { Load } from './load-generator.ts';
import type { Options } from './options.ts';
import { withResources } from './resources.ts';
import { type Server, STORES, type StoreName, startBridge, startBroker, startServer } from './servers.ts';

type QoS = 0 | 1 | 2;

export type Contestant =
  | { readonly kind: 'bare' }
  | { readonly kind: 'connectPerRequest' | 'warm'; readonly qos: QoS }
  | { readonly kind: 'bridge'; readonly qos: QoS; readonly store: StoreName };

export interface Measured extends Omit<Load, 'cpuPer1000'> {
  /** Seconds that the server's process spent per 1,000 requests. */
  readonly cpuPer1000: number;
}

/** What one contestant did, one measurement for each round. */
export interface PublishResult {
  readonly contestant: Contestant;
  readonly rounds: readonly Measured[];
}

interface Entry {
  readonly contestant: Contestant;
  readonly server: Server;
  readonly path: string;
}

/** Measures all contestants in interleaved rounds, so that what else the machine does meets all of them. */
export function comparePublish(
  { plan, profile }: Options,
  progress: (text: string) => void,
): Promise<readonly PublishResult[]> {
  return withResources(async (own) => {
    const mqttUrl = own(await startBroker()).url;
    const start = async (name: string) => own(await startServer(`bench/servers/${name}.ts`, { MQTT_URL: mqttUrl }));
    const bare = await start('bare');
    const connectPerRequest = await start('connect-per-request');
    const warm = await start('warm');
    const bridges = new Map<StoreName, Server>();
    for (const store of STORES) {
      const bridge = await startBridge(store, { mqttUrl, own, profile });
      await callJson(bridge.port, 'PUT', connectionPath(store), { sessionExpiryInterval: 600 });
      bridges.set(store, bridge);
    }

    // Those that are compared with each other are neighbours in time.
    const entries: Entry[] = [
      { contestant: { kind: 'bare' }, server: bare, path: '/publish' },
      { contestant: { kind: 'connectPerRequest', qos: 1 }, server: connectPerRequest, path: '/publish' },
    ];
    for (const qos of [1, 0, 2] as const) {
      entries.push({ contestant: { kind: 'warm', qos }, server: warm, path: '/publish' });
      for (const [store, server] of bridges) {
        entries.push({ contestant: { kind: 'bridge', qos, store }, server, path: `${connectionPath(store)}/publish` });
      }
    }

    const rounds = new Map<Entry, Measured[]>(entries.map((entry) => [entry, []]));
    // The first round is not counted: code that is not compiled yet costs twice as much, and the bridge has more of it.
    for (let round = 0; round <= plan.publishRounds; round += 1) {
      progress(round === 0 ? 'publish: warm-up' : `publish: round ${round} of ${plan.publishRounds}`);
      const order = round % 2 === 1 ? entries : entries.toReversed();
      for (const entry of order) {
        const measured = await measure(entry, plan);
        if (round > 0) rounds.get(entry)?.push(measured);
      }
    }
    return entries.map((entry) => ({ contestant: entry.contestant, rounds: rounds.get(entry) ?? [] }));
  });
}

/** Each bridge has a ClientID of its own: they share the broker. */
function connectionPath(store: StoreName): string {
  return `/v1/connections/bench-${store.toLowerCase().replace(' ', '-')}`;
}

/** One round of one contestant. Rejects when a single request was not answered with 2xx. */
async function measure(
  { contestant, server: { port, pid }, path }: Entry,
  { warmUpMs, measureMs }: Options['plan'],
): Promise<Measured> {
  const qos = contestant.kind === 'bare' ? 1 : contestant.qos;
  const job = { targets: [{ port, path }], pids: [pid], body: publishBody(qos), warmUpMs, measureMs };
  const { cpuPer1000, ...load } = await runLoad(job, JSON.stringify(contestant));
  return { ...load, cpuPer1000: cpuPer1000[0] ?? Number.NaN };
}
