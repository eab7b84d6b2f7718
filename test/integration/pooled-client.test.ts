import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Dialer } from '../../src/bridge/link/dial.ts';
import { PooledClient } from '../../src/bridge/pooled-client.ts';
import type { Problem } from '../../src/errors/problem.ts';
import { message } from '../helpers/bridge.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';

describe('a pooled client', () => {
  let broker: ScriptedBroker;
  let client: PooledClient;

  beforeEach(async () => {
    broker = await startScriptedBroker();
    client = new PooledClient({ urls: [broker.url] }, new Dialer(() => false));
  });
  afterEach(async () => {
    await broker.stop();
    await client.stop();
  });

  const publish = (qos: 0 | 1 | 2, timeoutMs = 5_000) => client.publish(message('pool/a', 'x', qos), timeoutMs);
  const problemOf = (outcome: Promise<unknown>) => outcome.catch((problem: Problem) => problem.type);

  async function acknowledge(connection: ScriptedConnection): Promise<void> {
    const { messageId = 0 } = await connection.next('publish');
    connection.send({ cmd: 'puback', messageId, reasonCode: 0 });
  }

  it('connects once for all who ask at the same time', async () => {
    const outcomes = [publish(1), publish(1), publish(1)];
    const connection = await broker.nextConnection();
    await connection.accept();
    for (const _ of outcomes) await acknowledge(connection);
    await Promise.all(outcomes);
    expect(broker.connections).toHaveLength(1);
  });

  it('connects again for what was sent and not acknowledged', async () => {
    const outcome = publish(1);
    const first = await broker.nextConnection();
    await first.accept();
    await first.next('publish');
    first.drop();
    const second = await broker.nextConnection();
    await second.accept();
    await acknowledge(second);
    expect(await outcome).toMatchObject({ qos: 1, reasonCode: 0 });
  });

  it('tries again while somebody waits, one attempt after the other', async () => {
    const outcomes = [publish(1), publish(1)];
    (await broker.nextConnection()).drop();
    outcomes.push(publish(1));
    (await broker.nextConnection()).drop();
    const connection = await broker.nextConnection();
    await connection.accept();
    for (const _ of outcomes) await acknowledge(connection);
    await Promise.all(outcomes);
    expect(broker.connections).toHaveLength(3);
  });

  it.each([
    [0x84, 'Unsupported Protocol Version'],
    [0x01, "3.1.1's own code"],
  ])('speaks 3.1.1 where the broker answers CONNACK 0x%s, and takes what waits along', async (reasonCode) => {
    const outcome = publish(1);
    await (await broker.nextConnection()).accept({ reasonCode });
    const connection = await broker.nextConnection();
    expect((await connection.accept()).protocolVersion).toBe(4);
    await acknowledge(connection);
    expect(await outcome).toMatchObject({ qos: 1, reasonCode: 0 });
  });

  it('a broker that refuses: whoever waits is told', async () => {
    const outcome = problemOf(publish(1));
    await (await broker.nextConnection()).accept({ reasonCode: 0x87 });
    expect(await outcome).toBe('broker-refused');
  });

  it('gives up at a stop: everybody has an answer, and nothing connects any more', async () => {
    const waiting = problemOf(publish(1));
    const attempt = await broker.nextConnection();
    await client.stop();
    await attempt.closed;
    expect(await waiting).toBe('shutting-down');
    expect(await problemOf(publish(0))).toBe('shutting-down');
    expect(await problemOf(client.link())).toBe('shutting-down');
    expect(broker.connections).toHaveLength(1);
  });
});
