import { describe, expect, test } from 'vitest';
import { BROKER_SCHEMES, isBrokerScheme, isLoopback } from '../../../src/mqtt/broker-schemes.ts';
import { PROTOCOL_VERSIONS, PROTOCOLS } from '../../../src/mqtt/protocol-version.ts';

test('protocol versions and levels are one to one', () => {
  expect(PROTOCOLS).toEqual({
    '5.0': { level: 5, name: 'MQTT' },
    '3.1.1': { level: 4, name: 'MQTT' },
    '3.1': { level: 3, name: 'MQIsdp' },
  });
  expect(new Set(PROTOCOL_VERSIONS.map((version) => PROTOCOLS[version].level)).size).toBe(PROTOCOL_VERSIONS.length);
});

describe('broker schemes', () => {
  test('have the ports that are registered for them', () => {
    const ports = Object.entries(BROKER_SCHEMES).map(([scheme, { port }]) => `${scheme} ${port}`);
    expect(ports).toEqual([
      'mqtt 1883',
      'tcp 1883',
      'mqtts 8883',
      'ssl 8883',
      'tls 8883',
      'ws 80',
      'wss 443',
      'quic 14567',
    ]);
  });

  test.each(['http', 'mqtt+unix', 'toString', 'MQTT', ''])('%j is none', (scheme) => {
    expect(isBrokerScheme(scheme)).toBe(false);
  });
});

describe('loopback', () => {
  test.each(['localhost', 'LOCALHOST', 'a.localhost', '127.0.0.1', '127.255.1.2', '[::1]', '[::ffff:7f00:1]'])(
    '%s is',
    (host) => {
      expect(isLoopback(host)).toBe(true);
    },
  );

  test.each([
    'example.com',
    'localhost.example.com',
    '10.0.0.1',
    '128.0.0.1',
    '127.example.com',
    '[::2]',
    '[::ffff:8000:1]',
  ])('%s is not', (host) => {
    expect(isLoopback(host)).toBe(false);
  });
});
