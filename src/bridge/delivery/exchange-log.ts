import type { Exchanges, Fence, NewExchange, Receipt, Settlement } from '../ports.ts';
import { GroupWorker } from './group-worker.ts';

const MAX_GROUP = 512;

interface Ending {
  packetId: number;
  /** Of the item that the exchange belongs to. */
  settlement: Settlement | null;
}

export interface ExchangeLogOptions {
  exchanges: Pick<Exchanges, 'begin' | 'release' | 'finish'>;
  fence: () => Fence;
  onFailure: (error: unknown) => void;
  /** These are recorded as released: PUBREL may be sent. */
  onReleased: (packetIds: readonly number[]) => void;
  /** These are forgotten: their identifiers are free. */
  onFinished: (packetIds: readonly number[]) => void;
}

/** Records each step of outbound QoS 2 exchanges in the store, in groups, before what it allows is done. */
export class ExchangeLog {
  readonly #options: ExchangeLogOptions;
  #generation = 0;
  #releases: GroupWorker<Receipt>;
  #finishes: GroupWorker<Ending>;

  constructor(options: ExchangeLogOptions) {
    this.#options = options;
    this.#releases = this.#createReleases();
    this.#finishes = this.#createFinishes();
  }

  /** Begins anew for a network connection: what failed or was stopped before is forgotten. */
  open(generation: number): void {
    this.#generation = generation;
    this.#releases = this.#createReleases();
    this.#finishes = this.#createFinishes();
  }

  close(): void {
    this.#releases.stop();
    this.#finishes.stop();
  }

  /** Resolves once PUBLISH may be sent. */
  begin(exchanges: readonly NewExchange[]): Promise<void> {
    return this.#options.exchanges.begin(this.#options.fence(), this.#generation, exchanges);
  }

  release(receipt: Receipt): void {
    this.#releases.add(receipt);
    this.#releases.start();
  }

  finish(packetId: number, settlement: Settlement | null): void {
    this.#finishes.add({ packetId, settlement });
    this.#finishes.start();
  }

  /** Resolves when nothing that is over waits to be forgotten. */
  forgotten(): Promise<void> {
    return this.#finishes.idle();
  }

  #createReleases(): GroupWorker<Receipt> {
    const { exchanges, fence, onReleased } = this.#options;
    return this.#worker(async (receipts) => {
      await exchanges.release(fence(), this.#generation, receipts);
      onReleased(receipts.map(({ packetId }) => packetId));
    });
  }

  #createFinishes(): GroupWorker<Ending> {
    const { exchanges, fence, onFinished } = this.#options;
    return this.#worker(async (endings) => {
      const packetIds = endings.map(({ packetId }) => packetId);
      const settlements = endings.map(({ settlement }) => settlement).filter((settlement) => settlement !== null);
      await exchanges.finish(fence(), packetIds, settlements);
      onFinished(packetIds);
    });
  }

  #worker<Step>(work: (steps: Step[]) => Promise<void>): GroupWorker<Step> {
    return new GroupWorker({ maxGroup: MAX_GROUP, onFailure: this.#options.onFailure, work });
  }
}
