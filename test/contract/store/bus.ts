import { randomBytes } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Store } from '../../../src/bridge/ports.ts';
import { until } from '../../helpers/until.ts';
import { numbered, type StoreContext, unique } from './fixtures.ts';

const MEBIBYTE = 1_048_576;

export function describeBus(context: StoreContext): void {
  describe('the bus', () => {
    it('carries frames to the instance that they are sent to, in the order of their sender', async () => {
      const { store, other } = context;
      const [mine, theirs] = [await listening(store), await listening(other)];
      const texts = numbered(200);
      const answers = await Promise.all(texts.map((text) => other.bus.send(mine.nodeId, Buffer.from(text))));
      expect(new Set(answers)).toEqual(new Set([true]));
      expect(await store.bus.send(theirs.nodeId, Buffer.from('back'))).toBe(true);
      await until(() => mine.frames.length === texts.length && theirs.frames.length === 1, { what: 'all arrive' });
      expect(mine.frames.map(String)).toEqual(texts);
      expect(theirs.frames.map(String)).toEqual(['back']);
    });

    it('does not change a byte, of none and of many', async () => {
      const { store, other } = context;
      const { nodeId, frames } = await listening(store);
      const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      const sent = [Buffer.alloc(0), everyByte, Buffer.from('\r\n+OK\r\n'), randomBytes(4 * MEBIBYTE)];
      for (const frame of sent) expect(await other.bus.send(nodeId, frame)).toBe(true);
      // A view of a part of a larger buffer is just that part.
      await other.bus.send(nodeId, new Uint8Array(everyByte.buffer, everyByte.byteOffset + 10, 5));
      await until(() => frames.length === sent.length + 1, { what: 'all arrive' });
      for (const [place, frame] of sent.entries()) expect(frames[place]?.equals(frame)).toBe(true);
      expect([...(frames.at(-1) ?? [])]).toEqual([10, 11, 12, 13, 14]);
    });

    it('keeps the order of each of many senders', async () => {
      const { store, other } = context;
      const { nodeId, frames } = await listening(store);
      const senders = numbered(8, 'sender');
      const send = async (sender: string, place: number) => {
        for (const text of numbered(50, `${sender}:`)) {
          await (place % 2 === 0 ? store : other).bus.send(nodeId, Buffer.from(text));
        }
      };
      await Promise.all(senders.map(send));
      await until(() => frames.length === 400, { what: 'all arrive' });
      for (const sender of senders) {
        const heard = frames.map(String).filter((text) => text.startsWith(`${sender}:`));
        expect(heard).toEqual(numbered(50, `${sender}:`));
      }
    });

    it('says that nobody listens, before and after', async () => {
      const { store, other } = context;
      expect(await other.bus.send(unique('nobody'), Buffer.from('x'))).toBe(false);
      const { nodeId, frames, stop } = await listening(store);
      expect(await other.bus.send(nodeId, Buffer.from('heard'))).toBe(true);
      await until(() => frames.length === 1, { what: 'it arrives' });
      stop();
      stop();
      await until(async () => !(await other.bus.send(nodeId, Buffer.from('not heard'))), { what: 'nobody listens' });
      const again = await listening(store, nodeId);
      expect(await other.bus.send(nodeId, Buffer.from('heard again'))).toBe(true);
      await until(() => again.frames.length === 1, { what: 'it arrives' });
      expect(frames.map(String)).toEqual(['heard']);
    });

    it('never calls a listener from within a call', async () => {
      const { store } = context;
      const { nodeId, frames } = await listening(store);
      const sending = store.bus.send(nodeId, Buffer.from('x'));
      expect(frames).toEqual([]);
      await sending;
      await until(() => frames.length === 1, { what: 'it arrives' });
    });
  });
}

interface Listener {
  readonly nodeId: string;
  readonly frames: Buffer[];
  isUp(): boolean;
  stop(): void;
}

/** What an instance hears until the test ends. */
export async function listening(store: Store, nodeId = unique('node')): Promise<Listener> {
  const frames: Buffer[] = [];
  const listening = await store.bus.listen(nodeId, (frame) => frames.push(Buffer.from(frame)));
  const stop = () => listening.stop();
  onTestFinished(stop);
  return { nodeId, frames, isUp: () => listening.isUp, stop };
}
