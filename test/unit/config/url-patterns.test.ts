import { describe, expect, test } from 'vitest';
import { isUrlAllowed, parseUrlPattern } from '../../../src/config/url-patterns.ts';

const allows = (pattern: string, url: string) => isUrlAllowed([parseUrlPattern(pattern)], url);

describe('URL patterns', () => {
  test.each([
    ['mqtts://*.example.com:8883', 'mqtts://a.example.com:8883'],
    ['mqtts://*.example.com:8883', 'mqtts://a.b.example.com'],
    ['mqtts://*.example.com', 'ssl://a.EXAMPLE.com:8883'],
    ['mqtt://broker.example.com', 'tcp://broker.example.com:1883'],
    ['ws://127.0.0.1:*', 'ws://127.0.0.1:9001/mqtt'],
    ['ws://127.0.0.1:*', 'ws://127.0.0.1'],
    ['wss://*:443', 'wss://any.example/mqtt'],
    ['mqtt://a*b*c:*', 'mqtt://a-b-b-c:1'],
    ['mqtt://*:*', 'mqtt://10.0.0.1:5'],
    ['mqtt://[::1]:*', 'mqtt://[::1]:1883'],
    ['*', 'quic://anything:1'],
    ['*', 'mqtt://odd%20host'],
  ])('%s allows %s', (pattern, url) => expect(allows(pattern, url)).toBe(true));

  test.each([
    ['mqtts://*.example.com:8883', 'mqtts://example.com:8883'],
    ['mqtts://*.example.com:8883', 'mqtts://a.example.com:8884'],
    ['mqtts://*.example.com:8883', 'mqtt://a.example.com:8883'],
    ['mqtts://*.example.com:8883', 'wss://a.example.com:8883'],
    ['mqtts://*.example.com:8883', 'mqtts://a.example.com.evil.com:8883'],
    ['mqtts://*.example.com:8883', 'mqtts://x.example.com@evil.com:8883'],
    ['mqtts://*.example.com:8883', 'mqtts://evil.com:8883/.example.com:8883'],
    ['mqtts://*.example.com:8883', 'mqtts://evil.com:8883?.example.com:8883'],
    ['mqtts://*.example.com:8883', 'mqtts://evil.com:8883#.example.com:8883'],
    ['mqtts://*.example.com', 'mqtts://evil.com#.example.com'],
    ['mqtts://*.example.com', 'mqtts://evil.com%23.example.com'],
    ['mqtts://*.example.com', 'mqtts://evil.com%00.example.com'],
    ['mqtts://*.example.com', 'mqtts://evil.com\\.example.com'],
    ['ws://127.0.0.1:*', 'ws://127.0.0.1.evil.com:80'],
    ['ws://127.0.0.1:*', 'ws://127.0.0.2:80'],
    ['mqtt://localhost', 'mqtt://localhost:1884'],
    ['mqtt://ab*ba', 'mqtt://aba'],
    ['mqtt://a*b*b*c', 'mqtt://abc'],
    ['*', 'http://example.com'],
    ['*', 'mqtt+unix:///var/run/x'],
    ['*', 'mqtt:opaque'],
    ['*', 'nonsense'],
  ])('%s refuses %s', (pattern, url) => expect(allows(pattern, url)).toBe(false));

  test('no pattern allows nothing', () => expect(isUrlAllowed([], 'mqtt://localhost')).toBe(false));

  test.each([
    '',
    '**',
    'example.com',
    'http://a',
    'mqtt://',
    'mqtt://a:99999',
    'mqtt://a/path',
    'mqtt://u@a',
    '*://a',
    'mqtt://a b',
  ])('"%s" is not a pattern', (text) => expect(() => parseUrlPattern(text)).toThrow());
});
