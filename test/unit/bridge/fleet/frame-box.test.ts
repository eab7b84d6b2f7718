import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createFrameBox } from '../../../../src/bridge/fleet/frame-box.ts';

const [first, second] = [randomBytes(32), randomBytes(32)];

describe('frames between instances', () => {
  it('are read by whom they are for, with the same key, and by nobody else', () => {
    const [a, b] = [createFrameBox([first]), createFrameBox([first])];
    const frame = Buffer.from('a password');
    const sealed = a.seal(frame, 'b');
    expect(sealed.includes(frame)).toBe(false);
    expect(() => b.open(sealed, 'c')).toThrow();
    expect(() => createFrameBox([second]).open(sealed, 'b')).toThrow(/not configured/);
    expect(b.open(sealed, 'b')).toEqual(frame);
    expect(b.open(a.seal(Buffer.alloc(0), 'b'), 'b')).toEqual(Buffer.alloc(0));
  });

  it('are read once: neither again, nor after a later one', () => {
    const [a, b] = [createFrameBox([first]), createFrameBox([first])];
    const [one, two, three] = ['1', '2', '3'].map((text) => a.seal(Buffer.from(text), 'b')) as [Buffer, Buffer, Buffer];
    expect(b.open(one, 'b').toString()).toBe('1');
    expect(() => b.open(one, 'b')).toThrow(/came before/);
    expect(b.open(three, 'b').toString()).toBe('3');
    expect(() => b.open(two, 'b')).toThrow(/came before/);
    expect(b.open(a.seal(Buffer.from('4'), 'b'), 'b').toString()).toBe('4');
  });

  it('that were altered anywhere are refused, and change nothing', () => {
    const [a, b] = [createFrameBox([first]), createFrameBox([first])];
    const sealed = a.seal(Buffer.from('frame'), 'b');
    for (let at = 0; at < sealed.length; at += 1) {
      const altered = Buffer.from(sealed);
      altered[at] = (altered[at] ?? 0) ^ 1;
      expect(() => b.open(altered, 'b'), `byte ${at}`).toThrow();
    }
    expect(() => b.open(sealed.subarray(0, 20), 'b')).toThrow(/truncated/);
    expect(b.open(sealed, 'b').toString()).toBe('frame');
  });

  it('while keys are rotated: the first one seals, all open', () => {
    const [a, b] = [createFrameBox([first]), createFrameBox([second, first])];
    expect(b.open(a.seal(Buffer.from('old'), 'b'), 'b').toString()).toBe('old');
    expect(
      createFrameBox([second])
        .open(b.seal(Buffer.from('new'), 'c'), 'c')
        .toString(),
    ).toBe('new');
  });
});
