import { describe, expect, test } from 'vitest';
import { joinSecrets, secretNames, splitSecrets } from '../../../src/schemas/connection-secrets.ts';
import { parametersView } from '../../../src/schemas/connection-view.ts';
import { validate } from './validate.ts';

const { parameters: plain } = validate({
  clientId: 'a',
  url: 'wss://h',
  username: 'u',
  password: 'swordfish',
  tls: { serverName: 'h' },
  websocket: { path: '/x', headers: { Authorization: 'hunter2', 'X-Tenant': 'opensesame' } },
  properties: { receiveMaximum: 5 },
  will: { topic: 'a', payload: 'not secret' },
});
const whole = {
  ...plain,
  tls: { rejectUnauthorized: true, serverName: 'h', cert: 'c', key: 'xyzzy', passphrase: 'plugh' },
  properties: { receiveMaximum: 5, authenticationMethod: 'm', authenticationData: 'cGxvdmVy' },
};

describe('the secrets of a document', () => {
  test('are taken out, all of them', () => {
    const { open, secrets } = splitSecrets(whole);
    expect(JSON.stringify(open)).not.toMatch(/swordfish|hunter2|opensesame|xyzzy|plugh|cGxvdmVy/);
    expect(secrets).toEqual({
      password: 'swordfish',
      tls: { key: 'xyzzy', passphrase: 'plugh' },
      websocket: { headers: { Authorization: 'hunter2', 'X-Tenant': 'opensesame' } },
      properties: { authenticationData: 'cGxvdmVy' },
    });
    expect(open).toMatchObject({
      username: 'u',
      will: { payload: 'not secret' },
      tls: { cert: 'c' },
      websocket: { path: '/x' },
      properties: { authenticationMethod: 'm' },
    });
  });

  test.each([
    ['all', whole],
    ['some', plain],
    ['none', validate({ clientId: 'a' }).parameters],
  ])('are put back: %s', (_, parameters) => {
    const { open, secrets } = splitSecrets(parameters);
    expect(joinSecrets(open, secrets)).toEqual(parameters);
    const stored: typeof secrets = JSON.parse(JSON.stringify(secrets));
    expect(joinSecrets(open, stored)).toEqual(parameters);
  });

  test('are not in what is answered, even when they were not taken out', () => {
    const shown = JSON.stringify(parametersView.encode(whole));
    expect(shown).not.toMatch(/swordfish|hunter2|opensesame|xyzzy|plugh|cGxvdmVy/);
    expect(shown).toContain('authenticationMethod');
    expect(parametersView.encode(splitSecrets(whole).open)).toEqual(splitSecrets(whole).open);
  });

  test('have names', () => {
    expect(secretNames(splitSecrets(whole).secrets)).toEqual([
      'password',
      'tls.key',
      'tls.passphrase',
      'websocket.headers.Authorization',
      'websocket.headers.X-Tenant',
      'properties.authenticationData',
    ]);
    expect(secretNames(splitSecrets(validate({}).parameters).secrets)).toEqual([]);
  });

  test('leave nothing where there are none', () => {
    expect(splitSecrets(validate({ clientId: 'a', url: 'mqtts://h', tls: {} }).parameters).secrets).toEqual({});
  });
});
