import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestBridge, type TestBridge, valid } from '../helpers/bridge.ts';
import { failureOf } from '../helpers/outcome.ts';
import { ScramServer } from '../helpers/scram-server.ts';
import { type ScriptedBroker, type ScriptedConnection, startScriptedBroker } from '../helpers/scripted-broker.ts';
import { until } from '../helpers/until.ts';

const METHOD = 'SCRAM-SHA-256';
const CONTINUE = 0x18;
const SCRAM = {
  id: 'a',
  username: 'ada',
  password: 'pencil',
  sessionExpiryInterval: 600,
  properties: { authenticationMethod: METHOD },
};

describe('enhanced authentication', () => {
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

  /** The broker's side until the client has proved that it knows the password, or not. */
  async function exchange(connection: ScriptedConnection, server: ScramServer): Promise<Buffer | null> {
    const connect = await connection.next('connect');
    const first = connect.properties?.authenticationData;
    if (first === undefined) throw new Error('CONNECT without Authentication Data');
    const challenge = server.first(first);
    connection.send({
      cmd: 'auth',
      reasonCode: CONTINUE,
      properties: { authenticationMethod: METHOD, authenticationData: challenge },
    });
    const { reasonCode, properties } = await connection.next('auth');
    expect(reasonCode).toBe(CONTINUE);
    expect(properties?.authenticationMethod).toBe(METHOD);
    return server.final(properties?.authenticationData ?? Buffer.alloc(0));
  }

  function accept(connection: ScriptedConnection, authenticationData: Buffer | undefined): void {
    connection.send({
      cmd: 'connack',
      sessionPresent: false,
      reasonCode: 0,
      properties: { authenticationMethod: METHOD, ...(authenticationData === undefined ? {} : { authenticationData }) },
    });
  }

  it('SCRAM-SHA-256: each side proves that it knows the password, which is never sent; at each reconnect', async () => {
    const opening = bridge.declareConnection('a', valid(SCRAM));
    for (const round of [1, 2]) {
      const connection = await broker.nextConnection();
      const server = new ScramServer('pencil');
      const proof = await exchange(connection, server);
      expect(proof, `round ${round}`).not.toBeNull();
      accept(connection, proof ?? undefined);
      await until(async () => (await view()).state === 'online', { what: 'online' });
      expect(server.username).toBe('ada');
      expect(connection.connect).toMatchObject({ username: 'ada' });
      expect(connection.connect?.password).toBeUndefined();
      expect(JSON.stringify(connection.received)).not.toContain('pencil');
      if (round === 1) connection.drop();
    }
    await opening;
    expect(await view()).toMatchObject({ parameters: { properties: { authenticationMethod: METHOD } } });
  });

  it('a wrong password: the broker’s refusal, and no further attempt', async () => {
    const opening = bridge.declareConnection('a', valid({ ...SCRAM, password: 'pen' }));
    const connection = await broker.nextConnection();
    expect(await exchange(connection, new ScramServer('pencil'))).toBeNull();
    connection.send({ cmd: 'connack', sessionPresent: false, reasonCode: 0x86 });
    const { connection: seen } = await opening;
    expect(seen).toMatchObject({ state: 'refused', reason: { code: 'broker-refused', reasonCode: 0x86 } });
  });

  it.each([
    ['no proof', async () => undefined],
    ['a wrong proof', async () => Buffer.from(`v=${Buffer.alloc(32).toString('base64')}`)],
  ])('a broker that accepts with %s is not trusted', async (_, last) => {
    const opening = bridge.declareConnection('a', valid(SCRAM));
    const connection = await broker.nextConnection();
    await exchange(connection, new ScramServer('pencil'));
    accept(connection, await last());
    const { connection: seen } = await opening;
    expect(seen).toMatchObject({ state: 'refused', reason: { detail: expect.stringMatching(/did not prove/) } });
    expect(connection.received.map(({ cmd }) => cmd)).toEqual(['connect', 'auth']);
  });

  it('a broker that accepts without the exchange is not trusted', async () => {
    const opening = failureOf(bridge.openConnection(valid(SCRAM)));
    const connection = await broker.nextConnection();
    await connection.next('connect');
    accept(connection, undefined);
    const { error } = await opening;
    expect(error).toMatchObject({ type: 'broker-refused', message: expect.stringMatching(/did not prove/) });
  });

  it('a challenge that cannot be is told, and not answered', async () => {
    const opening = failureOf(bridge.openConnection(valid(SCRAM)));
    const connection = await broker.nextConnection();
    await connection.next('connect');
    connection.send({
      cmd: 'auth',
      reasonCode: CONTINUE,
      properties: { authenticationMethod: METHOD, authenticationData: Buffer.from('r=theirs,s=AAAA,i=4096') },
    });
    const { error } = await opening;
    expect(error).toMatchObject({ type: 'broker-refused', message: expect.stringMatching(/nonce/) });
    expect(connection.received.map(({ cmd }) => cmd)).toEqual(['connect']);
  });

  it('another method: its data goes out with CONNECT as it is, which is all that some brokers want', async () => {
    const opening = bridge.declareConnection(
      'a',
      valid({
        id: 'a',
        username: 'u',
        password: 'p',
        properties: { authenticationMethod: 'OAUTH2-JWT', authenticationData: 'AAEC' },
      }),
    );
    const connection = await broker.nextConnection();
    const connect = await connection.accept({ properties: { authenticationMethod: 'OAUTH2-JWT' } });
    expect(connect.properties).toMatchObject({
      authenticationMethod: 'OAUTH2-JWT',
      authenticationData: Buffer.from([0, 1, 2]),
    });
    expect(connect).toMatchObject({ username: 'u', password: Buffer.from('p') });
    expect((await opening).connection).toMatchObject({
      state: 'online',
      secrets: expect.arrayContaining(['password']),
    });
  });

  it('another method that the broker goes on with: an error that says what is built in, and no further attempt', async () => {
    const opening = bridge.declareConnection(
      'a',
      valid({ id: 'a', properties: { authenticationMethod: 'GS2-KRB5', authenticationData: '' } }),
    );
    const connection = await broker.nextConnection();
    await connection.next('connect');
    connection.send({ cmd: 'auth', reasonCode: CONTINUE, properties: { authenticationMethod: 'GS2-KRB5' } });
    const { connection: seen } = await opening;
    expect(seen).toMatchObject({
      state: 'refused',
      reason: { code: 'broker-refused', detail: expect.stringMatching(/GS2-KRB5.*SCRAM-SHA-256/) },
    });
  });

  it.each([
    ['without a method', {}, {}],
    ['of another method', SCRAM.properties, { authenticationMethod: 'X' }],
  ])('AUTH %s is a Protocol Error', async (_, properties, answer) => {
    const opening = bridge.declareConnection('a', valid({ ...SCRAM, properties }));
    const connection = await broker.nextConnection();
    await connection.next('connect');
    connection.send({ cmd: 'auth', reasonCode: CONTINUE, properties: answer });
    await connection.closed;
    expect((await opening).connection).toMatchObject({ state: 'offline', reason: { code: 'broker-unreachable' } });
  });

  it('AUTH after CONNACK, which only a client may begin, ends the connection', async () => {
    const opening = bridge.declareConnection('a', valid(SCRAM));
    const connection = await broker.nextConnection();
    accept(connection, (await exchange(connection, new ScramServer('pencil'))) ?? undefined);
    await opening;
    connection.send({ cmd: 'auth', reasonCode: CONTINUE, properties: { authenticationMethod: METHOD } });
    await connection.closed;
    await until(async () => (await view()).reason !== null, { what: 'the reason' });
    expect((await view()).reason).toMatchObject({ detail: expect.stringMatching(/AUTH after CONNACK/) });
  });
});

describe('what a document with SCRAM-SHA-256 needs', () => {
  const url = 'mqtts://broker.example:8883';
  const faults = (document: object) => {
    try {
      valid({ id: 'a', url, properties: { authenticationMethod: METHOD }, ...document });
      return [];
    } catch (error) {
      return (error as { details: { errors: { pointer: string }[] } }).details.errors.map(({ pointer }) => pointer);
    }
  };

  it.each([
    ['both', { username: 'u', password: 'p' }, []],
    ['no user name', { password: 'p' }, ['/username']],
    ['no password', { username: 'u' }, ['/password']],
    ['neither, with a url', {}, ['/username', '/password']],
    ['neither, with a broker profile, which may bring them', { url: undefined }, []],
    [
      'data of its own',
      { username: 'u', password: 'p', properties: { authenticationMethod: METHOD, authenticationData: 'AA==' } },
      ['/properties/authenticationData'],
    ],
  ])('%s', (_, document, expected) => {
    const given = Object.fromEntries(Object.entries(document).filter(([, value]) => value !== undefined));
    const withUrl = 'url' in document ? { ...given, url: undefined } : given;
    expect(faults(withUrl)).toEqual(expected);
  });
});
