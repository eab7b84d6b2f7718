import type {
  AppendResult,
  Fence,
  Inbound,
  InboundEntry,
  Key,
  QueueLimits,
  SessionRecord,
} from '../../bridge/ports.ts';
import { encodeMessage } from '../message-codec.ts';
import type { Argument, Commands, Runner } from './client.ts';
import { unlessStale } from './errors.ts';
import type { Keys } from './keys.ts';
import { asArray, asNumber, asTextOrNull } from './replies.ts';

/** Packet identifiers have 16 bits [MQTT-2.2.1-3]: a generation and one of them are one small integer. */
const PACKET_IDENTIFIERS = 65_536;

/** The session and what arrives in it. `durable` is the client whose writes count as committed. */
export class RedisInbound implements Inbound {
  readonly #client: Commands;
  readonly #durable: Runner;
  readonly #keys: Keys;

  constructor(client: Commands, durable: Runner, keys: Keys) {
    this.#client = client;
    this.#durable = durable;
    this.#keys = keys;
  }

  async loadSession(key: Key): Promise<SessionRecord | null> {
    const reply = await this.#client.send('HMGET', this.#keys.of(key, 'session'), 'generation', 'status');
    const [generation, status] = asArray(reply).map(asTextOrNull);
    if (typeof status !== 'string') return null;
    return { schema: 1, generation: Number(generation ?? 0), status: JSON.parse(status) };
  }

  async saveStatus({ key, epoch }: Fence, status: SessionRecord['status']): Promise<void> {
    const names = [this.#keys.of(key, 'lease'), this.#keys.of(key, 'session')];
    unlessStale(await this.#client.run('session-save', names, [epoch, JSON.stringify(status)]));
  }

  async beginGeneration({ key, epoch }: Fence, status: SessionRecord['status']): Promise<number> {
    const names = [this.#keys.of(key, 'lease'), this.#keys.of(key, 'session'), this.#keys.of(key, 'received')];
    return asNumber(unlessStale(await this.#durable.run('session-begin', names, [epoch, JSON.stringify(status)])));
  }

  async append(
    { key, epoch }: Fence,
    generation: number,
    group: readonly InboundEntry[],
    limits: QueueLimits,
  ): Promise<AppendResult> {
    const names = [
      this.#keys.of(key, 'lease'),
      this.#keys.of(key, 'queue'),
      this.#keys.of(key, 'counters'),
      this.#keys.of(key, 'received'),
    ];
    const args: Argument[] = [epoch, limits.maxMessages, limits.maxBytes, limits.maxAge * 1000, limits.overflow];
    for (const entry of group) {
      const identifier = entry.packetId === undefined ? '' : generation * PACKET_IDENTIFIERS + entry.packetId;
      args.push(identifier, entry.kind === 'message' ? encodeMessage(entry.message) : '');
    }
    const [taken, stored, dropped] = asArray(unlessStale(await this.#durable.run('append', names, args)));
    return { taken: asNumber(taken), stored: asNumber(stored), dropped: asNumber(dropped) };
  }
}
