import { describe, expect, test } from 'vitest';
import type { ProtocolVersion } from '../../../src/mqtt/protocol-version.ts';
import {
  CONNACK_REASONS,
  isTransientRefusal,
  type ReasonedPacket,
  reasonName,
} from '../../../src/mqtt/reason-codes.ts';

describe('the name of a reason code', () => {
  test.each<[ReasonedPacket, number, ProtocolVersion, string]>([
    ['connack', 0x00, '5.0', 'Success'],
    ['connack', 0x86, '5.0', 'Bad User Name or Password'],
    ['connack', 5, '3.1.1', 'Connection Refused, not authorized'],
    ['connack', 0, '3.1', 'Connection Accepted'],
    ['suback', 1, '5.0', 'Granted QoS 1'],
    ['suback', 0xa2, '5.0', 'Wildcard Subscriptions not supported'],
    ['suback', 0x80, '3.1.1', 'Failure'],
    ['suback', 0x80, '5.0', 'Unspecified error'],
    ['unsuback', 0x11, '5.0', 'No subscription existed'],
    ['puback', 0x10, '5.0', 'No matching subscribers'],
    ['puback', 0x00, '3.1.1', 'Success'],
    ['pubrec', 0x91, '5.0', 'Packet Identifier in use'],
    ['pubrel', 0x92, '5.0', 'Packet Identifier not found'],
    ['pubcomp', 0x00, '3.1.1', 'Success'],
    ['disconnect', 0x04, '5.0', 'Disconnect with Will Message'],
    ['disconnect', 0x8e, '5.0', 'Session taken over'],
    ['auth', 0x18, '5.0', 'Continue authentication'],
    ['connack', 0x18, '5.0', 'Unknown reason code 0x18'],
    ['connack', 0x87, '3.1.1', 'Unknown reason code 0x87'],
    ['puback', 0x01, '5.0', 'Unknown reason code 0x01'],
  ])('%s %i on %s', (packet, code, version, name) => {
    expect(reasonName(packet, code, version)).toBe(name);
  });
});

describe('a refusal that time will mend', () => {
  test('is one of four on MQTT 5.0', () => {
    const transient = Object.keys(CONNACK_REASONS)
      .map(Number)
      .filter((code) => isTransientRefusal(code, '5.0'));
    expect(transient).toEqual([0x88, 0x89, 0x97, 0x9f]);
  });

  test.each(['3.1.1', '3.1'] as const)('is "server unavailable" on %s', (version) => {
    expect([1, 2, 3, 4, 5, 0x88].filter((code) => isTransientRefusal(code, version))).toEqual([3]);
  });

  test('3 is no refusal of MQTT 5.0', () => {
    expect(isTransientRefusal(3, '5.0')).toBe(false);
  });
});
