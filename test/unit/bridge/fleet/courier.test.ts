import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Courier, Unanswered, Unreachable } from '../../../../src/bridge/fleet/courier.ts';
import { createFrameBox } from '../../../../src/bridge/fleet/frame-box.ts';
import type { Bus } from '../../../../src/bridge/ports.ts';
import { Problem } from '../../../../src/errors/problem.ts';
import { until } from '../../../helpers/until.ts';

const KEY = Buffer.alloc(32, 7);
const SOON = 200;
const LONG = 10_000;

/** A bus in this process, with the frames that went over it. */
function createBus() {
  const listeners = new Map<string, (frame: Uint8Array) => void>();
  const frames: string[] = [];
  const bus: Bus = {
    listen: async (nodeId, onFrame) => {
      listeners.set(nodeId, onFrame);
      return { isUp: true, stop: () => void listeners.delete(nodeId) };
    },
    send: async (nodeId, frame) => {
      frames.push(nodeId);
      const listener = listeners.get(nodeId);
      if (listener !== undefined) setImmediate(() => listener(frame));
      return listener !== undefined;
    },
  };
  return { bus, frames, listeners };
}

describe('calls from one instance to another', () => {
  let wire: ReturnType<typeof createBus>;
  let couriers: Courier[];

  beforeEach(() => {
    wire = createBus();
    couriers = [];
  });
  afterEach(() => Promise.all(couriers.map((courier) => courier.stop())));

  async function instance(
    nodeId: string,
    serve: (method: string, args: readonly unknown[]) => Promise<unknown> = async () => null,
    bus = wire.bus,
  ): Promise<Courier> {
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const holder = { nodeId, process: nodeId };
    const members = { time: async () => Date.now() };
    const courier = new Courier({ bus, members, holder, box: createFrameBox([KEY]), serve, log });
    couriers.push(courier);
    await courier.start();
    return courier;
  }

  it('are answered with the value, or the problem', async () => {
    const a = await instance('a');
    await instance('b', async (method, args) => {
      if (method === 'fail') throw new Problem('broker-unreachable', { detail: 'gone' });
      return { method, args };
    });
    expect(await a.call('b', 'do', [Buffer.from('x'), { y: 1 }], LONG)).toEqual({
      method: 'do',
      args: [Buffer.from('x'), { y: 1 }],
    });
    await expect(a.call('b', 'fail', [], LONG)).rejects.toMatchObject({ type: 'broker-unreachable', message: 'gone' });
  });

  it('that come together share a frame, and are served in their order; so are the answers', async () => {
    const served: unknown[] = [];
    const a = await instance('a');
    await instance('b', async (_method, [index]) => served.push(index));
    await Promise.all(Array.from({ length: 100 }, (_, index) => a.call('b', 'do', [index], LONG)));
    expect(served).toEqual(Array.from({ length: 100 }, (_, index) => index));
    expect(wire.frames).toEqual(['b', 'a']);
  });

  it('to nobody are known not to have arrived', async () => {
    const a = await instance('a');
    await expect(a.call('nobody', 'do', [], LONG)).rejects.toThrow(Unreachable);
  });

  it('without an answer end at their deadline, and a late answer is nobody’s', async () => {
    const gate = Promise.withResolvers<void>();
    const a = await instance('a');
    await instance('b', () => gate.promise);
    await expect(a.call('b', 'do', [], SOON)).rejects.toThrow(Unanswered);
    gate.resolve();
    await until(() => wire.frames.includes('a'), { what: 'the late answer' });
    expect(a.giveUpOn('b')).toBe(0);
  });

  it('that were held up on their way until nobody waits for an answer are not done', async () => {
    const held: (() => void)[] = [];
    const slow: Bus = {
      ...wire.bus,
      send: (nodeId, frame) => new Promise((resolve) => held.push(() => resolve(wire.bus.send(nodeId, frame)))),
    };
    const a = await instance('a', undefined, slow);
    const done: unknown[] = [];
    await instance('b', async (_method, args) => done.push(...args));
    await expect(a.call('b', 'do', ['late'], SOON)).rejects.toThrow(Unanswered);
    const inTime = a.call('b', 'do', ['in time'], LONG);
    // One after the other, as they were sent.
    await until(() => held.shift()?.() === undefined && done.length > 0, { what: 'the second' });
    await inTime;
    expect(done).toEqual(['in time']);
  });

  it('end when the other has died', async () => {
    const a = await instance('a');
    await instance('b', () => new Promise(() => {}));
    const call = a.call('b', 'do', [], LONG);
    expect(a.giveUpOn('b')).toBe(1);
    await expect(call).rejects.toThrow(Unanswered);
  });

  it('an answer to the process before is none to the one that has its name now', async () => {
    const gate = Promise.withResolvers<string>();
    const before = await instance('a');
    await instance('b', () => gate.promise);
    before.call('b', 'do', [], LONG).catch(() => undefined);
    const after = await instance('a');
    const call = after.call('b', 'do', [], SOON);
    await until(() => wire.frames.filter((to) => to === 'b').length === 2, { what: 'both calls' });
    gate.resolve('mine');
    expect(await call).toBe('mine');
  });

  it('are refused when too much waits for that instance, and taken again when it does not', async () => {
    const gate = Promise.withResolvers<void>();
    const a = await instance('a');
    await instance('b', () => gate.promise);
    const calls = Array.from({ length: 10_000 }, () => a.call('b', 'do', [], LONG));
    await expect(a.call('b', 'do', [], LONG)).rejects.toMatchObject({ type: 'overloaded', status: 503 });
    gate.resolve();
    await Promise.all(calls);
    await expect(a.call('b', 'do', [], LONG)).resolves.toBeUndefined();
  });

  it('whose frame the store took or not, nobody knows, may have been done', async () => {
    const broken: Bus = { ...wire.bus, send: () => Promise.reject(new Error('timed out')) };
    const a = await instance('a', undefined, broken);
    await expect(a.call('b', 'do', [], LONG)).rejects.toThrow(Unanswered);
  });

  it('that are being served when an instance stops are answered before it is gone', async () => {
    const gate = Promise.withResolvers<string>();
    const a = await instance('a');
    const b = await instance('b', () => gate.promise);
    const call = a.call('b', 'do', [], LONG);
    await until(() => wire.frames.includes('b'), { what: 'the call' });
    // Delivered by the bus in the turn after.
    await new Promise((resolve) => setImmediate(resolve));
    const stopping = b.stop();
    gate.resolve('done');
    await stopping;
    expect(wire.frames.at(-1)).toBe('a');
    expect(await call).toBe('done');
  });

  it('survive a frame that cannot be read', async () => {
    const a = await instance('a');
    await instance('b', async () => 'yes');
    wire.listeners.get('b')?.(Buffer.from('nonsense'));
    expect(await a.call('b', 'do', [], LONG)).toBe('yes');
  });
});
