import { describe, expect, it } from 'vitest';
import { AddressMemory } from '../../../../src/bridge/link/address-memory.ts';
import { readServerReference } from '../../../../src/bridge/link/server-reference.ts';
import { parseAddress } from '../../../../src/bridge/transports/address.ts';

const A = parseAddress('mqtt://a');
const B = parseAddress('mqtt://b');

describe('AddressMemory', () => {
  it('suspects an address for half a minute after it failed, or until it answers', () => {
    const memory = new AddressMemory();
    memory.failed(A, 1_000);
    expect(memory.isSuspect(A, 30_999)).toBe(true);
    expect(memory.isSuspect(A, 31_000)).toBe(false);
    expect(memory.isSuspect(parseAddress('tcp://A:1883'), 1_000)).toBe(true);
    expect(memory.isSuspect(parseAddress('mqtts://a:1883'), 1_000)).toBe(false);
    memory.succeeded(A);
    expect(memory.isSuspect(A, 1_001)).toBe(false);
  });

  it('tells a temporary redirection once, a permanent one always, each to the client that it was said to', () => {
    const memory = new AddressMemory();
    memory.redirect('x', A, { to: [B], permanent: false });
    memory.redirect('y', A, { to: [B], permanent: true });
    expect(memory.redirectionOf('z', A)).toEqual([]);
    expect([memory.redirectionOf('x', A), memory.redirectionOf('x', A)]).toEqual([[B], []]);
    expect([memory.redirectionOf('y', A), memory.redirectionOf('y', A)]).toEqual([[B], [B]]);
  });

  it('is bounded: the oldest is forgotten', () => {
    const memory = new AddressMemory();
    for (let index = 0; index <= 10_000; index += 1) memory.failed({ ...A, host: `h${index}` });
    expect([0, 1, 10_000].map((index) => memory.isSuspect({ ...A, host: `h${index}` }))).toEqual([false, true, true]);
  });
});

describe('readServerReference', () => {
  const from = parseAddress('wss://here:8084/mqtt');
  const read = (text: string) => readServerReference(text, from);

  it('reads hosts, ports and IPv6 literals; all else stays as it was', () => {
    expect(read('other other.example:8885 [2001:db8::1]:444 10.0.0.7 [::1]')).toEqual([
      { ...from, host: 'other', port: 443 },
      { ...from, host: 'other.example', port: 8885 },
      { ...from, host: '2001:db8::1', port: 444 },
      { ...from, host: '10.0.0.7', port: 443 },
      { ...from, host: '::1', port: 443 },
    ]);
  });

  it.each([
    '',
    ' ',
    'mqtt://evil',
    'u:p@evil',
    'u@evil:1',
    'evil/path',
    'evil?q',
    'evil#f',
    '::1',
    '[::1',
    '[x]:1',
    'h:',
    'h:x',
    'h:99999',
  ])('leaves out %j', (text) => expect(read(text)).toEqual([]));
});
