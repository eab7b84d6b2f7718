import { Duplex } from 'node:stream';
import { generate, type Packet } from 'mqtt-packet';
import { describe, expect, it } from 'vitest';
import { type OwnPacket, PacketSplitter, type SplitterLimits } from '../../../../src/bridge/link/packet-splitter.ts';

/** A transport whose other side is the test's. */
class Wire extends Duplex {
  readonly written: Buffer[] = [];
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.written.push(chunk);
    done();
  }
}

function split(limits: Partial<SplitterLimits> = {}) {
  const wire = new Wire();
  const packets: OwnPacket[] = [];
  const cuts: number[] = [];
  const passed: Buffer[] = [];
  const malformed: Error[] = [];
  const splitter = new PacketSplitter(
    wire,
    { protocolLevel: 5, limits: { maxPayload: 1 << 20, maximumPacketSize: 1 << 28, ...limits } },
    {
      onPacket: (packet, cut) => {
        packets.push(packet);
        cuts.push(cut);
      },
      onBatchEnd: () => {},
      onDrain: () => {},
      onMalformed: (error) => malformed.push(error),
    },
  );
  splitter.on('data', (chunk: Buffer) => passed.push(chunk));
  return { wire, splitter, packets, cuts, malformed, passed: () => Buffer.concat(passed) };
}

const encode = (packet: Packet) => generate(packet, { protocolVersion: 5 });
const CONNACK = encode({ cmd: 'connack', sessionPresent: true, reasonCode: 0 });
const AUTH = encode({ cmd: 'auth', reasonCode: 24, properties: { authenticationMethod: 'm' } });
const PINGRESP = encode({ cmd: 'pingresp' });
const SUBACK = encode({ cmd: 'suback', messageId: 3, granted: [1] });
const publish = (id: number, bytes: number) =>
  encode({
    cmd: 'publish',
    topic: `t/${id}`,
    messageId: id,
    qos: 1,
    dup: false,
    retain: false,
    payload: Buffer.alloc(bytes, id),
  });
const PUBACK = encode({ cmd: 'puback', messageId: 9, reasonCode: 0 });

const STREAM = Buffer.concat([
  CONNACK,
  publish(1, 10),
  publish(2, 300),
  AUTH,
  publish(3, 70_000),
  SUBACK,
  PINGRESP,
  AUTH,
  PUBACK,
  AUTH,
]);

describe('PacketSplitter', () => {
  it.each([1, 2, 3, 7, 64, 1_000, STREAM.length])(
    'keeps the message flow and what answers subscribing, and passes the rest, read in pieces of %i bytes',
    async (size) => {
      const { wire, packets, passed } = split();
      for (let at = 0; at < STREAM.length; at += size) wire.push(STREAM.subarray(at, at + size));
      await new Promise(setImmediate);
      expect(packets.map(({ cmd, messageId }) => `${cmd} ${messageId}`)).toEqual([
        'publish 1',
        'publish 2',
        'publish 3',
        'suback 3',
        'pingresp undefined',
        'puback 9',
      ]);
      expect(packets[2]).toMatchObject({ topic: 't/3', payload: Buffer.alloc(70_000, 3) });
      expect(passed()).toEqual(Buffer.concat([CONNACK, AUTH, AUTH, AUTH]));
    },
  );

  it('tells of a Remaining Length of five bytes, and hands over nothing after it', async () => {
    const { wire, packets, passed, malformed } = split();
    wire.push(
      Buffer.concat([CONNACK, publish(1, 1), Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]), publish(2, 1)]),
    );
    await new Promise(setImmediate);
    expect(malformed).toHaveLength(1);
    expect(packets.map(({ messageId }) => messageId)).toEqual([1]);
    expect(passed()).toEqual(CONNACK);
  });

  it.each([1, 1_000, 65_536])(
    'cuts the end of a payload that is too long, read in pieces of %i bytes',
    async (size) => {
      const { wire, packets, cuts, passed } = split({ maxPayload: 1_000 });
      const stream = Buffer.concat([CONNACK, publish(1, 10), publish(2, 400_000), AUTH, publish(3, 20)]);
      for (let at = 0; at < stream.length; at += size) wire.push(stream.subarray(at, at + size));
      await new Promise(setImmediate);
      expect(packets.map(({ cmd, messageId }) => `${cmd} ${messageId}`)).toEqual([
        'publish 1',
        'publish 2',
        'publish 3',
      ]);
      const long = packets[1] as { payload: Buffer };
      expect(long.payload.length + (cuts[1] ?? 0)).toBe(400_000);
      expect(long.payload.length).toBeLessThan(300_000);
      expect(long.payload.every((byte) => byte === 2)).toBe(true);
      expect(cuts).toEqual([0, expect.any(Number), 0]);
      expect(passed()).toEqual(Buffer.concat([CONNACK, AUTH]));
    },
  );

  it.each([
    ['a packet before CONNACK', {}, Buffer.concat([publish(1, 1), CONNACK])],
    ['more than the Maximum Packet Size', { maximumPacketSize: 100 }, Buffer.concat([CONNACK, publish(1, 100)])],
  ])('tells of %s', async (_what, limits, stream) => {
    const { wire, packets, malformed } = split(limits);
    wire.push(stream);
    await new Promise(setImmediate);
    expect(malformed).toHaveLength(1);
    expect(packets).toEqual([]);
  });

  it('never cuts a packet of the library in two with one of ours', async () => {
    const { wire, splitter } = split();
    splitter.cork();
    splitter.write(PINGRESP.subarray(0, 1));
    splitter.writePackets(PUBACK);
    splitter.write(PINGRESP.subarray(1));
    process.nextTick(() => splitter.uncork());
    await new Promise(setImmediate);
    expect(Buffer.concat(wire.written)).toEqual(Buffer.concat([PUBACK, PINGRESP]));
  });

  it('ends the transport after its last packet', async () => {
    const { wire, splitter } = split();
    splitter.endWith(PUBACK);
    splitter.write(PINGRESP);
    await new Promise(setImmediate);
    expect(Buffer.concat(wire.written)).toEqual(PUBACK);
    expect(wire.writableEnded).toBe(true);
  });
});
