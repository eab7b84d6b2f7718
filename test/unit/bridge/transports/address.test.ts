import { describe, expect, it } from 'vitest';
import { formatAddress, parseAddress } from '../../../../src/bridge/transports/address.ts';
import { isForbiddenAddress } from '../../../../src/bridge/transports/guarded-lookup.ts';

describe('parseAddress', () => {
  it.each([
    ['mqtt://broker', { scheme: 'mqtt', host: 'broker', port: 1883, path: null }],
    ['tcp://Broker.Example.com', { scheme: 'mqtt', host: 'broker.example.com', port: 1883, path: null }],
    ['mqtts://broker', { scheme: 'mqtts', host: 'broker', port: 8883, path: null }],
    ['ssl://broker:1', { scheme: 'mqtts', host: 'broker', port: 1, path: null }],
    ['tls://[::1]', { scheme: 'mqtts', host: '::1', port: 8883, path: null }],
    ['mqtt://[2001:DB8::7]:1884', { scheme: 'mqtt', host: '2001:db8::7', port: 1884, path: null }],
    ['quic://broker', { scheme: 'quic', host: 'broker', port: 14_567, path: null }],
    ['ws://broker', { scheme: 'ws', host: 'broker', port: 80, path: null }],
    ['wss://broker/mqtt/x', { scheme: 'wss', host: 'broker', port: 443, path: '/mqtt/x' }],
    ['mqtt://user:secret@broker:2?clientId=x#y', { scheme: 'mqtt', host: 'broker', port: 2, path: null }],
  ])('%s', (text, address) => expect(parseAddress(text)).toEqual(address));

  it.each(['http://broker', 'mqtt+unix:///socket', 'unix:///socket', 'mqtt://', 'broker', ''])('refuses %j', (text) => {
    expect(() => parseAddress(text)).toThrow(TypeError);
  });

  it('writes every spelling of an address alike, and never what else was in the URL', () => {
    expect(formatAddress(parseAddress('TLS://u:p@[::1]/?q'))).toBe('mqtts://[::1]:8883');
    expect(formatAddress(parseAddress('wss://h/'))).toBe('wss://h:443');
  });
});

describe('isForbiddenAddress', () => {
  it.each([
    ['169.254.169.254', true],
    ['169.254.0.1', true],
    ['::ffff:169.254.169.254', true],
    ['fe80::1', true],
    ['fd00:ec2::254', true],
    ['100.100.100.200', true],
    ['::169.254.169.254', true],
    ['64:ff9b::a9fe:a9fe', true],
    ['fd20:ce::254', true],
    ['0.0.0.0', true],
    ['::', true],
    ['127.0.0.1', false],
    ['10.0.0.1', false],
    ['::1', false],
    ['2001:db8::1', false],
  ])('%s: %s', (address, forbidden) => expect(isForbiddenAddress(address)).toBe(forbidden));
});
