import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestBridge, message, type TestBridge, valid } from '../helpers/bridge.ts';
import { type BridgeProcess, startBridgeProcess } from '../helpers/bridge-process.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

const V5 = { id: 'a', sessionExpiryInterval: 600 };
const V3 = { id: 'a', protocolVersion: '3.1.1', cleanSession: false };
/** Three reclaims: 2, 4 and 8 s at most. */
const ALL_RECLAIMS_MS = 20_000;

describe('taken over', () => {
  let broker: ScriptedBroker;
  let bridge: TestBridge;

  beforeEach(async () => {
    broker = await startScriptedBroker();
    bridge = await createTestBridge({ url: broker.url });
  });
  afterEach(async () => {
    await broker.stop();
    await bridge.end();
  });

  const view = () => bridge.getConnection('a');
  const untilState = (state: string) => until(async () => (await view()).state === state, { what: state });

  async function declare(document: object): Promise<ScriptedConnection> {
    const opening = bridge.declareConnection('a', valid(document));
    const connection = await broker.nextConnection();
    await connection.accept();
    await opening;
    return connection;
  }
  function takeOver(connection: ScriptedConnection): void {
    connection.send({ cmd: 'disconnect', reasonCode: 0x8e });
    connection.drop();
  }
  /** Accepts the next connection, and waits for `online`. */
  async function acceptNext(): Promise<ScriptedConnection> {
    const connection = await broker.nextConnection(10_000);
    await connection.accept({ sessionPresent: true });
    await untilState('online');
    return connection;
  }

  describe('yield, the default', () => {
    it('v5 says so (0x8E): it stops at once', async () => {
      takeOver(await declare(V5));
      await untilState('takenOver');
      expect(await view()).toMatchObject({ reason: { code: 'taken-over', reasonCode: 0x8e }, owner: null });
      const [result] = await bridge.publish('a', [{ message: message('t', 'x'), timeoutMs: 1_000 }]);
      expect(result).toMatchObject({ type: 'connection-not-usable' });
      await expect(broker.nextConnection(2_000)).rejects.toThrow('not within');
    });

    it('v5 says so before it has answered SUBSCRIBE: it stops all the same', async () => {
      const opening = bridge.declareConnection('a', valid({ ...V5, subscriptions: [{ filter: 'x', qos: 0 }] }));
      const connection = await broker.nextConnection();
      await connection.accept();
      await connection.next('subscribe');
      connection.send({ cmd: 'disconnect', reasonCode: 0x8e });
      expect((await opening).connection).toMatchObject({ state: 'takenOver', reason: { reasonCode: 0x8e } });
      expect(broker.connections).toHaveLength(1);
    });

    it('says who has the ClientID and what takes it back, and at no time anything else', async () => {
      const first = await declare(V5);
      takeOver(first);
      const seen = await until(
        async () => {
          const { state, reason } = await view();
          return state === 'online' ? null : { state, reason };
        },
        { what: 'no longer online' },
      );
      expect(seen.reason?.code).toBe('taken-over');
      await untilState('takenOver');
      const detail = 'Another client uses this ClientID; attach takes it back';
      expect(await view()).toMatchObject({ reason: { code: 'taken-over', detail } });
    });

    it.each([
      ['PATCH', () => bridge.patchConnection('a', { keepAlive: 33 })],
      ['PUT', () => bridge.declareConnection('a', valid({ ...V5, keepAlive: 33 })).then((answer) => answer.connection)],
    ])('%s does not take it back: only attach does, with what was changed', async (_method, change) => {
      takeOver(await declare(V5));
      await untilState('takenOver');
      expect(await change()).toMatchObject({ state: 'takenOver', owner: null, parameters: { keepAlive: 33 } });
      await expect(broker.nextConnection(1_000)).rejects.toThrow('not within');
      const attaching = bridge.attachConnection('a');
      expect(await (await broker.nextConnection()).accept()).toMatchObject({ keepalive: 33 });
      expect(await attaching).toMatchObject({ state: 'online' });
    });

    it.each([
      ['5.0', V5],
      ['3.1.1', V3],
    ])(
      'DELETE leaves the session, which is the other client’s, and does not throw that one out (%s)',
      async (_v, document) => {
        const first = await declare(document);
        if (document === V5) takeOver(first);
        else {
          first.drop();
          (await acceptNext()).drop();
          (await acceptNext()).drop();
        }
        await untilState('takenOver');
        const before = broker.connections.length;
        expect(await bridge.deleteConnection('a', { session: 'discard', will: null })).toBe('deleted');
        await expect(broker.nextConnection(1_000)).rejects.toThrow('not within');
        expect(broker.connections).toHaveLength(before);
      },
    );

    it('a change that re-attaches does not reset the pattern', async () => {
      (await declare(V3)).drop();
      (await acceptNext()).drop();
      const third = await acceptNext();
      const patching = bridge.patchConnection('a', { keepAlive: 33 });
      await third.closed;
      const fourth = await acceptNext();
      await patching;
      fourth.drop();
      await untilState('takenOver');
    });

    it('a few closes soon after CONNACK are none on v5, which should say so: it comes back', async () => {
      let connection = await declare(V5);
      for (let close = 0; close < 4; close += 1) {
        connection.drop();
        connection = await acceptNext();
      }
    });

    it('3.x: three closes soon after CONNACK', async () => {
      (await declare(V3)).drop();
      (await acceptNext()).drop();
      (await acceptNext()).drop();
      await untilState('takenOver');
      expect(broker.connections).toHaveLength(3);
    });

    it('attach by request comes back, and is taken over anew', async () => {
      takeOver(await declare(V5));
      await untilState('takenOver');
      const attaching = bridge.attachConnection('a');
      const second = await broker.nextConnection();
      await second.accept({ sessionPresent: true });
      expect(await attaching).toMatchObject({ state: 'online', reason: null });
      takeOver(second);
      await untilState('takenOver');
    });
  });

  describe('reclaim', () => {
    const RECLAIM = { ...V5, onTakeover: 'reclaim' };

    it('takes the ClientID back from one that goes away, and says so while it waits', async () => {
      const first = await declare(RECLAIM);
      const takenAt = Date.now();
      takeOver(first);
      await until(async () => (await view()).reason?.code === 'taken-over', { what: 'taken over' });
      expect(await view()).toMatchObject({ state: 'offline', reason: { code: 'taken-over', reasonCode: 0x8e } });
      await acceptNext();
      expect(Date.now() - takenAt).toBeGreaterThanOrEqual(990);
      expect(await view()).toMatchObject({ state: 'online', reason: null, generation: 1 });
    });

    it('tries three times, although each connection lived, then yields; attach starts anew', async () => {
      let connection = await declare(RECLAIM);
      for (let reclaim = 0; reclaim < 3; reclaim += 1) {
        takeOver(connection);
        connection = await acceptNext();
      }
      takeOver(connection);
      await untilState('takenOver');
      expect(broker.connections).toHaveLength(4);

      const attaching = bridge.attachConnection('a');
      const again = await broker.nextConnection();
      await again.accept({ sessionPresent: true });
      await attaching;
      takeOver(again);
      await acceptNext();
    }, 60_000);

    it('3.x: after the pattern, every close soon after CONNACK counts', async () => {
      let connection = await declare({ ...V3, onTakeover: 'reclaim' });
      for (let close = 0; close < 5; close += 1) {
        connection.drop();
        connection = await acceptNext();
      }
      connection.drop();
      await untilState('takenOver');
      expect(broker.connections).toHaveLength(6);
    }, 60_000);

    it.each([
      ['PATCH', () => bridge.patchConnection('a', { keepAlive: 33 })],
      ['DELETE', () => bridge.deleteConnection('a', { session: 'discard', will: null })],
    ])('%s while it waits does not throw the other out', async (method, request) => {
      takeOver(await declare(RECLAIM));
      await until(async () => (await view()).reason?.code === 'taken-over', { what: 'taken over' });
      const startedAt = Date.now();
      await request();
      expect(Date.now() - startedAt).toBeLessThan(900);
      expect(broker.connections).toHaveLength(1);
      if (method === 'PATCH') {
        expect(await (await broker.nextConnection()).accept({ sessionPresent: true })).toMatchObject({ keepalive: 33 });
      } else await expect(broker.nextConnection(3_000)).rejects.toThrow('not within');
    });

    it('a change while it waits shortens nothing; `yield` counts for the next time', async () => {
      const first = await declare(RECLAIM);
      const takenAt = Date.now();
      takeOver(first);
      await until(async () => (await view()).reason?.code === 'taken-over', { what: 'taken over' });
      await bridge.patchConnection('a', { onTakeover: 'yield' });
      const second = await acceptNext();
      expect(Date.now() - takenAt).toBeGreaterThanOrEqual(990);
      takeOver(second);
      await untilState('takenOver');
    });
  });
});

describe('two bridges with the same ClientID at one Mosquitto', () => {
  let mosquitto: Mosquitto;
  let bridges: BridgeProcess[];

  beforeAll(async () => {
    mosquitto = await startMosquitto();
    const env = { MQTT_URL: mosquitto.url };
    bridges = [await startBridgeProcess({ env }), await startBridgeProcess({ env })];
  });
  afterAll(async () => {
    await Promise.all(bridges.map((bridge) => bridge.stop()));
    await mosquitto.stop();
  });

  /** One has yielded: from then on the other is left alone. */
  async function isSettled(id: string): Promise<boolean> {
    const answers = await Promise.all(
      bridges.map((bridge) => bridge.request<{ state: string }>('GET', `/v1/connections/${id}`)),
    );
    const states = answers.map(({ json }) => json.state);
    return states.includes('takenOver') && states.every((state) => state === 'takenOver' || state === 'online');
  }

  it.concurrent.each([
    ['plant-1', 'yield', { protocolVersion: '3.1.1', cleanSession: false }, 12],
    ['plant-2', 'reclaim', { protocolVersion: '3.1.1', cleanSession: false }, 20],
    ['plant-3', 'reclaim', { protocolVersion: '5.0', sessionExpiryInterval: 600 }, 30],
  ])(
    '%s, %s, %j: they do not fight for ever',
    async (id, onTakeover, session, mostConnects) => {
      for (const bridge of bridges) {
        await bridge.request('PUT', `/v1/connections/${id}`, { json: { ...session, onTakeover } });
      }
      await until(() => isSettled(id), { what: 'one that yields', within: 4 * ALL_RECLAIMS_MS });
      const connects = mosquitto.log().split(` as ${id} (p`).length - 1;
      expect(connects).toBeGreaterThan(2);
      expect(connects).toBeLessThanOrEqual(mostConnects);
    },
    6 * ALL_RECLAIMS_MS,
  );
});
