import type { Exchanges, Fence } from '../ports.ts';
import { GroupWorker } from './group-worker.ts';

const MAX_GROUP = 512;

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
  #releases: GroupWorker<number>;
  #finishes: GroupWorker<number>;

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
  begin(exchanges: readonly { packetId: number; packet: Uint8Array }[]): Promise<void> {
    return this.#options.exchanges.begin(this.#options.fence(), this.#generation, exchanges);
  }

  release(packetId: number): void {
    this.#releases.add(packetId);
    this.#releases.start();
  }

  finish(packetId: number): void {
    this.#finishes.add(packetId);
    this.#finishes.start();
  }

  #createReleases(): GroupWorker<number> {
    const { exchanges, fence, onReleased } = this.#options;
    return this.#worker((packetIds) => exchanges.release(fence(), this.#generation, packetIds), onReleased);
  }

  #createFinishes(): GroupWorker<number> {
    const { exchanges, fence, onFinished } = this.#options;
    return this.#worker((packetIds) => exchanges.finish(fence(), packetIds), onFinished);
  }

  #worker(
    record: (packetIds: number[]) => Promise<void>,
    onRecorded: (packetIds: readonly number[]) => void,
  ): GroupWorker<number> {
    const work = (packetIds: number[]) => record(packetIds).then(() => onRecorded(packetIds));
    return new GroupWorker({ maxGroup: MAX_GROUP, onFailure: this.#options.onFailure, work });
  }
}
