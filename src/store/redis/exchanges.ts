import type { Exchanges, Fence, OutboundExchange } from '../../bridge/ports.ts';
import type { Argument, Commands, Runner } from './client.ts';
import { unlessStale } from './errors.ts';
import type { Keys } from './keys.ts';
import { asBytes, asNumber, asRows, asText } from './replies.ts';

/** Outbound QoS 2 exchanges, in a hash per Connection. `durable` is the client whose writes count as committed. */
export class RedisExchanges implements Exchanges {
  readonly #client: Commands;
  readonly #durable: Runner;
  readonly #keys: Keys;

  constructor(client: Commands, durable: Runner, keys: Keys) {
    this.#client = client;
    this.#durable = durable;
    this.#keys = keys;
  }

  async begin(
    fence: Fence,
    generation: number,
    exchanges: readonly { packetId: number; packet: Uint8Array }[],
  ): Promise<void> {
    const pairs = exchanges.flatMap(({ packetId, packet }): Argument[] => [
      packetId,
      Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength),
    ]);
    unlessStale(await this.#durable.run('exchange-begin', this.#names(fence), [fence.epoch, generation, ...pairs]));
  }

  async release(fence: Fence, generation: number, packetIds: readonly number[]): Promise<void> {
    const args = [fence.epoch, generation, ...packetIds];
    unlessStale(await this.#durable.run('exchange-release', this.#names(fence), args));
  }

  async finish(fence: Fence, packetIds: readonly number[]): Promise<void> {
    unlessStale(await this.#client.run('exchange-finish', this.#names(fence), [fence.epoch, ...packetIds]));
  }

  async load(fence: Fence, generation: number): Promise<OutboundExchange[]> {
    const reply = await this.#client.run('exchange-load', this.#names(fence), [fence.epoch, generation]);
    return asRows(unlessStale(reply), 4)
      .sort(([a], [b]) => asNumber(a) - asNumber(b))
      .map(([, packetId, stage, packet]) => ({
        packetId: asNumber(packetId),
        stage: asText(stage) === 'release' ? 'release' : 'publish',
        packet: asBytes(packet),
      }));
  }

  #names({ key }: Fence): string[] {
    return [this.#keys.of(key, 'lease'), this.#keys.of(key, 'exchanges')];
  }
}
