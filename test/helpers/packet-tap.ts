import { parser as createParser, type Packet } from 'mqtt-packet';
import { startWire, type Wire } from './wire.ts';

/** A packet that a client has sent. */
export interface SentPacket {
  readonly clientId: string;
  readonly cmd: Packet['cmd'];
  readonly packet: Packet;
  /** Milliseconds, on the clock of `performance.now()`. */
  readonly at: number;
  /** When its network connection was opened, by CONNECT. */
  readonly connectedAt: number;
}

/** A wire to a broker that reads along what clients send: also what the broker does not want any more. */
export interface PacketTap extends Wire {
  readonly sent: readonly SentPacket[];
}

/** For clients of MQTT 5.0. `onPacket` is told of each before the broker gets it. */
export async function startPacketTap(
  target: string,
  onPacket: (packet: SentPacket) => void = () => {},
): Promise<PacketTap> {
  const sent: SentPacket[] = [];
  const readers = new Map<number, { parse(bytes: Buffer): void }>();
  const reader = () => {
    const parser = createParser({ protocolVersion: 5 });
    let clientId = '';
    let connectedAt = 0;
    parser.on('packet', (packet) => {
      const at = performance.now();
      if (packet.cmd === 'connect') {
        clientId = packet.clientId;
        connectedAt = at;
      }
      const one = { clientId, cmd: packet.cmd, packet, at, connectedAt };
      sent.push(one);
      onPacket(one);
    });
    return { parse: (bytes: Buffer) => void parser.parse(bytes) };
  };
  const wire = await startWire(target, {
    onSent(bytes, connection) {
      const found = readers.get(connection) ?? reader();
      readers.set(connection, found);
      found.parse(bytes);
    },
  });
  return { ...wire, sent };
}
