import type { Exchanges, Fence, NewExchange, OutboundExchange, Receipt, Settlement } from '../../bridge/ports.ts';
import type { Argument, Commands, Runner } from './client.ts';
import { unlessStale } from './errors.ts';
import { fromItemName, toItemName } from './item-names.ts';
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

  async begin(fence: Fence, generation: number, exchanges: readonly NewExchange[]): Promise<void> {
    const triples = exchanges.flatMap(({ packetId, packet, item = null }): Argument[] => [
      packetId,
      Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength),
      item === null ? '' : toItemName(item),
    ]);
    const names = [...this.#names(fence), this.#keys.of(fence.key, 'publications')];
    unlessStale(await this.#durable.run('exchange-begin', names, [fence.epoch, generation, ...triples]));
  }

  async release(fence: Fence, generation: number, receipts: readonly Receipt[]): Promise<void> {
    const pairs = receipts.flatMap(({ packetId, reasonCode }) => [packetId, reasonCode]);
    const args = [fence.epoch, generation, ...pairs];
    unlessStale(await this.#durable.run('exchange-release', this.#names(fence), args));
  }

  async finish(fence: Fence, packetIds: readonly number[], settlements: readonly Settlement[] = []): Promise<void> {
    const triples = settlements.flatMap(({ item, outcome }) => [item.publication, item.index, outcome ?? '']);
    // An outcome is told to its caller; that an exchange is over may be forgotten, and is found out again.
    const runner = settlements.length > 0 ? this.#durable : this.#client;
    const args = [fence.epoch, packetIds.length, ...packetIds, ...triples];
    unlessStale(await runner.run('exchange-finish', this.#withItems(fence), args));
  }

  async load(fence: Fence, generation: number): Promise<OutboundExchange[]> {
    const reply = await this.#client.run('exchange-load', this.#withItems(fence), [fence.epoch, generation]);
    return asRows(unlessStale(reply), 6)
      .sort(([a], [b]) => asNumber(a) - asNumber(b))
      .map(([, packetId, stage, reasonCode, packet, item]) => ({
        packetId: asNumber(packetId),
        stage: asText(stage) === 'release' ? 'release' : 'publish',
        reasonCode: asNumber(reasonCode),
        packet: asBytes(packet),
        item: asText(item) === '' ? null : fromItemName(asText(item)),
      }));
  }

  #withItems(fence: Fence): string[] {
    const parts = ['publications', 'publication-expiry', 'outbox'] as const;
    return [...this.#names(fence), ...parts.map((part) => this.#keys.of(fence.key, part))];
  }

  #names({ key }: Fence): string[] {
    return [this.#keys.of(key, 'lease'), this.#keys.of(key, 'exchanges')];
  }
}
