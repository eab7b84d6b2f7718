import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { functionNodeId } from '../../src/bridge/fleet/node-ids.ts';
import { openRedisStore } from '../../src/store/redis/index.ts';
import { createTestBridge, type TestBridge, valid } from '../helpers/bridge.ts';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type BrokerLog, followBroker } from '../helpers/broker-log.ts';
import { pathOf } from '../helpers/fleet-scene.ts';
import { type FleetStore, startStandalone } from '../helpers/fleet-stores.ts';
import { connectPublisher } from '../helpers/kill-publisher.ts';
import { print } from '../helpers/measured.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { type PacketTap, type SentPacket, startPacketTap } from '../helpers/packet-tap.ts';
import { startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';
import { startWire } from '../helpers/wire.ts';

const MESSAGES = 40;
/** Milliseconds: a drain goes on as soon as the lease of the one that was killed has ended. */
const LEASE_TTL_MS = 1_000;
/** Milliseconds after which a read tries again to drain: the lease of one that was killed has to end. */
const DRAINED_WITHIN = LEASE_TTL_MS + 10_000;

interface Page {
  readonly messages: readonly { readonly payload: string; readonly qos: number }[];
  readonly complete?: boolean;
}

describe('a drain in a function', () => {
  let broker: Mosquitto;
  let log: BrokerLog;
  let store: FleetStore;
  let tap: PacketTap;
  let functions: BridgeProcess[];
  let onPacket: (packet: SentPacket) => void = () => {};
  beforeAll(async () => {
    [broker, store] = await Promise.all([startMosquitto(), startStandalone()]);
    log = followBroker(broker);
    tap = await startPacketTap(broker.url, (packet) => onPacket(packet));
    functions = await Promise.all([start(tap.url), start(tap.url), start(broker.url)]);
  }, 60_000);
  afterAll(async () => {
    await Promise.all((functions ?? []).map((each) => each.kill()));
    await tap?.stop();
    await Promise.all([broker?.stop(), store?.stop()]);
  });

  const start = (url: string, storeUrl = store.env.STORE_URL) => {
    const env = { ...store.env, STORE_URL: storeUrl, MQTT_URL: url, BRIDGE_MODE: 'function' };
    return startBridgeProcess({ env: { ...env, LEASE_TTL_MS: String(LEASE_TTL_MS) } });
  };
  const read = (at: BridgeProcess, id: string) => at.request<Page>('GET', `${pathOf(id)}/messages?limit=1000`);

  /** A parked session for which the broker keeps messages at QoS 1 and 2. */
  async function prepare(at: BridgeProcess, id: string): Promise<void> {
    const subscriptions = [1, 2].map((qos) => ({ filter: `${id}/${qos}/#`, qos }));
    const json = { sessionExpiryInterval: 3_600, subscriptions, will: { topic: 'will', payload: id } };
    expect((await at.request('PUT', pathOf(id), { json })).status).toBe(201);
    const publisher = await connectPublisher(broker.port);
    for (const payload of payloads) {
      await Promise.all(([1, 2] as const).map((qos) => publisher.publish(`${id}/${qos}/kept`, payload, qos)));
    }
    publisher.close();
  }
  const payloads = Array.from({ length: MESSAGES }, (_, index) => `${index}`);
  const at = (qos: number, { messages }: Page) =>
    messages.filter((message) => message.qos === qos).map(({ payload }) => payload);

  it.each(['connect', 'puback', 'pubrec', 'pubcomp', 'disconnect'] as const)(
    'that is killed when it has sent %s: the next one has everything, at QoS 2 once',
    async (cmd) => {
      const id = `killed-${cmd}`;
      const [doomed, next] = functions as [BridgeProcess, BridgeProcess];
      await prepare(next, id);
      const killed = new Promise((resolve) => {
        onPacket = (one) => {
          if (one.clientId === id && one.cmd === cmd) resolve(doomed.kill());
        };
      });
      await Promise.all([read(doomed, id).catch(() => null), killed]);
      await expectAllAtNext(id, cmd.toUpperCase());
    },
    30_000,
  );

  it('that is killed before it has seen CONNACK: the next one has everything, at QoS 2 once', async () => {
    const id = 'killed-connack';
    const [doomed, next] = functions as [BridgeProcess, BridgeProcess];
    await prepare(next, id);
    const connects = () => log.of(id, 'connected').length;
    const before = connects();
    onPacket = (one) => {
      if (one.clientId === id && one.cmd === 'connect') doomed.signal('SIGSTOP');
    };
    const reading = read(doomed, id).catch(() => null);
    await until(() => connects() > before, { what: 'the broker has accepted it' });
    await Promise.all([reading, doomed.kill()]);
    await expectAllAtNext(id, 'CONNACK');
  }, 30_000);

  it('that is killed when all is stored and nothing acknowledged: the next one has everything, at QoS 2 once', async () => {
    const id = 'killed-stored';
    const [, next] = functions as [BridgeProcess, BridgeProcess];
    await prepare(next, id);
    const wire = await startWire(store.env.STORE_URL ?? '', {
      // The answer to what stores them never comes.
      onSent: (bytes) => {
        if (bytes.includes(`${id}/2/kept`)) wire.stall();
      },
    });
    const doomed = await start(tap.url, wire.url);
    const sent: string[] = [];
    onPacket = (one) => {
      if (one.clientId === id) sent.push(one.cmd);
    };
    const reading = read(doomed, id).catch(() => null);
    const depth = async () =>
      (await next.request<{ queue: { depth: number } }>('GET', pathOf(id))).json.queue.depth > 0;
    await until(depth, { what: 'something is stored' });
    await Promise.all([reading, doomed.kill()]);
    expect(sent.filter((cmd) => cmd.startsWith('pub'))).toEqual([]);
    await wire.stop();
    await expectAllAtNext(id, 'stored');
  }, 30_000);

  async function expectAllAtNext(id: string, step: string): Promise<void> {
    const [doomed, next] = functions as [BridgeProcess, BridgeProcess];
    const killedAt = performance.now();
    const page = await until(
      async () => {
        const { json } = await read(next, id);
        return json.complete === true ? json : null;
      },
      { what: 'a complete drain', within: DRAINED_WITHIN },
    );
    print(`killed at ${step}: drained ${Math.round(performance.now() - killedAt)} ms later`);
    expect([...new Set(at(1, page))]).toEqual(payloads);
    expect(at(2, page)).toEqual(payloads);
    await doomed.restart();
  }

  it('is shared by those who read in several processes at the same time, or they wait for it', async () => {
    await prepare(functions[0] as BridgeProcess, 'readers');
    const connects = () => log.of('readers', 'connected').length;
    const before = connects();
    const pages = await Promise.all([...functions, ...functions].map((each) => read(each, 'readers')));
    for (const { json } of pages) {
      expect(json.complete).toBe(true);
      expect(at(2, json)).toEqual(payloads);
    }
    print(`${pages.length} readers in ${functions.length} processes: ${connects() - before} drains`);
    expect(connects() - before).toBe(1);
    expect(log.takeOvers()).toEqual([]);
  });
});

describe('keepers in functions', () => {
  let store: FleetStore;
  let running: TestBridge[];
  beforeAll(async () => {
    store = await startStandalone();
  });
  afterAll(() => store.stop());
  beforeEach(() => {
    running = [];
  });
  afterEach(() => Promise.all(running.map((bridge) => bridge.end())));

  async function start(url: string, prefix: string): Promise<TestBridge> {
    const nodeId = functionNodeId();
    const redis = await openRedisStore({ url: store.env.STORE_URL ?? '', prefix, nodeId });
    const bridge = await createTestBridge({ url, store: redis, mode: 'function', nodeId, leaseTtlMs: LEASE_TTL_MS });
    running.push(bridge);
    await bridge.start();
    return bridge;
  }
  const never = () => new AbortController().signal;

  it('at the same time do not drain a session twice, and renew short ones in time', async () => {
    const broker = await startMosquitto();
    const log = followBroker(broker);
    const keepers = await Promise.all([1, 2, 3].map(() => start(broker.url, 'short')));
    const ids = Array.from({ length: 12 }, (_, index) => `short-${index}`);
    const more = { hold: 'onDemand', sessionExpiryInterval: 3, drainInterval: 3_600 };
    for (const id of ids) {
      await keepers[0]?.openConnection(valid({ id, ...more, subscriptions: [{ filter: 'in', qos: 1 }] }));
    }
    const connected = (id: string) => log.of(id, 'connected').length;
    let drained = 0;
    await until(
      async () => {
        const runs = await Promise.all(keepers.map((keeper) => keeper.keep(1_000, never())));
        drained += runs.reduce((sum, run) => sum + run.drained, 0);
        return ids.every((id) => connected(id) >= 4);
      },
      { what: 'each has been renewed three times', within: 20_000 },
    );
    expect(log.takeOvers()).toEqual([]);
    expect(drained).toBe(ids.reduce((sum, id) => sum + connected(id) - 1, 0));
    for (const id of ids) expect(await keepers[1]?.getConnection(id)).toMatchObject({ generation: 1, state: 'parked' });
    await broker.stop();
  }, 40_000);

  it('end in their time although a broker does not answer, and the next run goes on', async () => {
    const broker = await startScriptedBroker();
    const keeper = await start(broker.url, 'silent');
    const opening = keeper.openConnection(
      valid({ id: 'silent', hold: 'onDemand', sessionExpiryInterval: 2, will: { topic: 'will', payload: '' } }),
    );
    await (await broker.nextConnection()).accept();
    await opening;
    const run = async () => {
      const startedAt = performance.now();
      const signal = AbortSignal.timeout(500);
      const kept = await keeper.keep(400, signal);
      return { ...kept, ms: performance.now() - startedAt, ended: signal.aborted };
    };
    const meetSilence = async () => {
      const one = await run();
      return one.ended ? one : null;
    };
    const ended = await until(meetSilence, { what: 'a run that meets the silence' });
    expect(ended).toMatchObject({ drained: 0, remaining: true });
    expect(ended.ms).toBeLessThan(3_000);
    const silent = await broker.nextConnection();
    await silent.closed;
    const answered = (async () => (await broker.nextConnection(10_000)).accept({ sessionPresent: true }))();
    await until(async () => (await keeper.keep(400, never())).drained === 1, { what: 'the next run drains it' });
    await answered;
    expect(await keeper.getConnection('silent')).toMatchObject({ state: 'parked', owner: null });
    const stopping = keeper.stop();
    await broker.stop();
    await stopping;
  }, 30_000);
});
