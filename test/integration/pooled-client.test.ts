import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Dialer } from '../../src/bridge/link/dial.ts';
import { PooledClient } from '../../src/bridge/pooled-client.ts';
import type { Problem } from '../../src/errors/problem.ts';
import { type ScriptedBroker, startScriptedBroker } from '../helpers/scripted-broker.ts';

describe('a pooled client', () => {
  let broker: ScriptedBroker;
  let client: PooledClient;

  beforeEach(async () => {
    broker = await startScriptedBroker();
    const inbound = { maxPayload: 1_024, onPublish: () => undefined };
    client = new PooledClient({ urls: [broker.url] }, new Dialer(() => false), inbound);
  });
  afterEach(async () => {
    await broker.stop();
    await client.stop();
  });

  const problemOf = (outcome: Promise<unknown>) => outcome.catch((problem: Problem) => problem.type);

  it('connects once for all who ask, with a session that ends with the network connection', async () => {
    const links = [client.link(), client.link()];
    const connection = await broker.nextConnection();
    expect(await connection.accept()).toMatchObject({ clientId: expect.stringMatching(/^\w{22}$/), clean: true });
    const [first, second] = await Promise.all(links);
    expect(first).toBe(second);
    expect(await client.link()).toBe(first);
    expect(broker.connections).toHaveLength(1);
  });

  it('connects again after a loss, when it is asked', async () => {
    const first = client.link();
    const connection = await broker.nextConnection();
    await connection.accept();
    const link = await first;
    connection.drop();
    await expect.poll(() => link.alive).toBe(false);
    const second = client.link();
    await (await broker.nextConnection()).accept();
    expect((await second).alive).toBe(true);
  });

  it.each([
    [0x84, 'Unsupported Protocol Version'],
    [0x01, "3.1.1's own code"],
  ])('speaks 3.1.1 where the broker answers CONNACK 0x%s', async (reasonCode) => {
    const link = client.link();
    await (await broker.nextConnection()).accept({ reasonCode });
    expect((await (await broker.nextConnection()).accept()).protocolVersion).toBe(4);
    expect((await link).alive).toBe(true);
  });

  it('a broker that refuses: whoever waits is told', async () => {
    const link = problemOf(client.link());
    await (await broker.nextConnection()).accept({ reasonCode: 0x87 });
    expect(await link).toBe('broker-refused');
  });

  it('gives up at a stop: everybody has an answer, and nothing connects any more', async () => {
    const waiting = problemOf(client.link());
    const attempt = await broker.nextConnection();
    await client.stop();
    await attempt.closed;
    expect(await waiting).toBe('shutting-down');
    expect(await problemOf(client.link())).toBe('shutting-down');
    expect(broker.connections).toHaveLength(1);
  });
});
