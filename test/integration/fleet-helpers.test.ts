import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { generate } from 'mqtt-packet';
import { afterEach, describe, expect, test } from 'vitest';
import { balance, patientCaller, type Target } from '../helpers/balancer.ts';
import type { Answer } from '../helpers/bridge-process.ts';
import { followBroker } from '../helpers/broker-log.ts';
import {
  type FleetStore,
  failOver,
  primaryOfOnlyConnection,
  startReplicatedCluster,
  startSentinelTrio,
} from '../helpers/fleet-stores.ts';
import { startMosquitto } from '../helpers/mosquitto.ts';
import { mosquittoSub } from '../helpers/mosquitto-clients.ts';
import { startPacketTap } from '../helpers/packet-tap.ts';
import { until } from '../helpers/until.ts';
import { startWire } from '../helpers/wire.ts';

// What judges several instances is judged itself first.

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

describe('followBroker', () => {
  test('tells a DISCONNECT from a lost connection and from a take-over, and counts who is connected', async () => {
    const broker = await startMosquitto();
    cleanUps.push(() => broker.stop());
    const log = followBroker(broker);
    const subscribe = (id: string, ...more: string[]) => mosquittoSub(broker, ['-i', id, '-t', 'x', ...more]);
    const kinds = (id: string) => log.of(id).map(({ kind }) => kind);

    const polite = await subscribe('polite', '-V', 'mqttv5');
    const cut = await subscribe('cut');
    const first = await subscribe('twice');
    const second = await subscribe('twice');
    await polite.stop();
    await cut.kill();
    await until(() => log.of('cut', 'lost').length === 1, { what: 'the broker has noticed' });
    expect(kinds('polite')).toEqual(['connected', 'disconnected']);
    expect(kinds('cut')).toEqual(['connected', 'lost']);
    expect(kinds('twice').slice(0, 3)).toEqual(['connected', 'takenOver', 'connected']);
    expect(new Set(log.takeOvers())).toEqual(new Set(['twice']));
    expect(log.mostAttached(() => true)).toBe(3);
    expect(log.mostDetached(() => true)).toBe(2);
    expect(log.mostAttached((id) => id === 'polite')).toBe(1);
    const { at = 0 } = log.of('cut', 'lost')[0] ?? {};
    expect(Math.abs(at - performance.now())).toBeLessThan(1_000);
    await first.kill();
    await second.kill();
  });
});

describe('startWire', () => {
  /** A server that answers what it is sent, and keeps its sockets. */
  async function echo() {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanUps.push(() => server.close());
    const address = server.address();
    return { sockets, url: `tcp://127.0.0.1:${typeof address === 'object' ? address?.port : ''}` };
  }
  function client(url: string) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    let received = '';
    let closed = false;
    socket.on('data', (bytes) => {
      received += bytes;
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      closed = true;
    });
    cleanUps.push(() => socket.destroy());
    return { socket, received: () => received, closed: () => closed };
  }
  const wait = (condition: () => boolean) => until(condition, { what: 'the wire' });

  test('stalled it carries nothing and tells nobody; mended it carries on', async () => {
    const server = await echo();
    const wire = await startWire(server.url);
    cleanUps.push(() => wire.stop());
    const before = client(wire.url);
    before.socket.write('a');
    await wait(() => before.received() === 'a');
    wire.stall();
    const during = client(wire.url);
    await once(during.socket, 'connect');
    before.socket.write('b');
    during.socket.write('c');
    const direct = client(server.url);
    direct.socket.write('d');
    await wait(() => direct.received() === 'd');
    expect([before.received(), during.received(), before.closed()]).toEqual(['a', '', false]);
    wire.mend();
    await wait(() => before.received() === 'ab' && during.received() === 'c');
  });

  test('cut it closes and takes nobody; mended it does again', async () => {
    const server = await echo();
    const wire = await startWire(server.url);
    cleanUps.push(() => wire.stop());
    const before = client(wire.url);
    before.socket.write('a');
    await wait(() => before.received() === 'a');
    wire.cut();
    await wait(() => before.closed());
    const during = client(wire.url);
    await wait(() => during.closed());
    wire.mend();
    const after = client(wire.url);
    after.socket.write('b');
    await wait(() => after.received() === 'b');
  });

  test('a tap sees the packets that a client sends after the broker has closed', async () => {
    const server = await echo();
    const tap = await startPacketTap(server.url);
    cleanUps.push(() => tap.stop());
    const half = connect({ port: Number(new URL(tap.url).port), host: '127.0.0.1', allowHalfOpen: true });
    cleanUps.push(() => half.destroy());
    half.resume();
    const identity = { protocolId: 'MQTT', protocolVersion: 5, clientId: 'sleeper', clean: true } as const;
    half.write(generate({ cmd: 'connect', ...identity, keepalive: 0 }, { protocolVersion: 5 }));
    await wait(() => tap.sent.length === 1);
    for (const socket of server.sockets) socket.destroy();
    await once(half, 'end');
    const message = { topic: 'x', payload: 'late', qos: 0, dup: false, retain: false } as const;
    half.write(generate({ cmd: 'publish', ...message }, { protocolVersion: 5 }));
    await wait(() => tap.sent.length === 2);
    expect(tap.sent.map(({ clientId, cmd }) => `${clientId} ${cmd}`)).toEqual(['sleeper connect', 'sleeper publish']);
  });
});

describe('patientCaller', () => {
  const answer = (status: number, text = '', retryAfter?: string): Answer<never> =>
    ({ status, text, headers: { 'retry-after': retryAfter }, bytes: Buffer.alloc(0) }) as unknown as Answer<never>;
  const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
  const reset = Object.assign(new Error('reset'), { code: 'ECONNRESET' });
  const unknown = answer(504, '{"type":"/problems/outcome-unknown"}');

  /** Instances that answer in turn what is scripted. */
  function script(...answers: (Answer<never> | Error)[]) {
    const asked: string[] = [];
    const target = (nodeId: string): Target => ({
      nodeId,
      isUp: true,
      request<T>() {
        asked.push(nodeId);
        const next = answers.shift() ?? answer(200);
        return next instanceof Error ? Promise.reject(next) : Promise.resolve(next as unknown as Answer<T>);
      },
    });
    const targets = [target('one'), target('two'), target('three')];
    return { asked, caller: patientCaller(balance(() => targets)) };
  }

  test.each([
    ['503, with any method', 'POST', {}, answer(503), 1, 0],
    ['a refused connection, with any method', 'POST', {}, refused, 1, 0],
    ['a broken one, where that is idempotent', 'GET', {}, reset, 1, 0],
    ['a broken one, with a key', 'POST', { headers: { 'idempotency-key': 'k' } }, reset, 1, 0],
    ['409 still-running', 'POST', {}, answer(409, '"/problems/still-running"'), 1, 0],
    ['not an unknown outcome', 'POST', {}, unknown, 0, 1],
    ['not a broken connection without a key', 'POST', {}, reset, 0, 1],
    ['not a 409', 'POST', {}, answer(409), 0, 0],
  ])('tries once more, elsewhere, after %s', async (_, method, options, first, healed, unknowns) => {
    const { caller, asked } = script(first);
    const answered = await caller.request(method, '/', options).catch(() => null);
    if (healed === 1) expect(answered?.status).toBe(200);
    expect([caller.healed.length, caller.unknown.length, caller.unhealed.length]).toEqual([healed, unknowns, 0]);
    expect(new Set(asked).size).toBe(1 + healed);
  });

  test('waits as long as it is told, and notes what the second try does not heal', async () => {
    const { caller } = script(answer(503, 'first', '1'), answer(503, 'second'));
    const startedAt = performance.now();
    expect(await caller.request('GET', '/')).toMatchObject({ status: 503, text: 'second' });
    expect(performance.now() - startedAt).toBeGreaterThan(990);
    expect(caller.unhealed).toEqual(['GET /: 503 first; then 503 second']);
  });
});

describe.each([
  ['a Sentinel trio', startSentinelTrio],
  ['a replicated Cluster', startReplicatedCluster],
])('%s', (_, start) => {
  test('fails over when its primary is killed, with what was replicated', async () => {
    const store: FleetStore = await start();
    cleanUps.push(() => store.stop());
    for (const { admin } of store.servers) await admin.set('bridge:v1:{k}:session', 'x').catch(() => undefined);
    const primary = await primaryOfOnlyConnection(store);
    expect(Number(await primary.admin.call('WAIT', '1', '5000'))).toBeGreaterThanOrEqual(1);
    await failOver(store, primary);
    const successor = await primaryOfOnlyConnection({ ...store, servers: store.servers.filter((s) => s !== primary) });
    expect(successor.port).not.toBe(primary.port);
  });
});
