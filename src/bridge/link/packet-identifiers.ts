import { MAX_PACKET_IDENTIFIER, MIN_PACKET_IDENTIFIER } from '../../mqtt/limits.ts';

/**
 * Packet identifiers of one Connection: PUBLISH, SUBSCRIBE and UNSUBSCRIBE share them. One in use is never given out
 * again before it is freed [MQTT-2.2.1-3]; they are taken in turn, so that one just freed is the last to come back.
 */
export class PacketIdentifiers {
  readonly #used = new Set<number>();
  #last = 0;

  /** The next free identifier, or null when all 65,535 are in use. */
  allocate(): number | null {
    if (this.#used.size >= MAX_PACKET_IDENTIFIER) return null;
    do {
      this.#last = this.#last === MAX_PACKET_IDENTIFIER ? MIN_PACKET_IDENTIFIER : this.#last + 1;
    } while (this.#used.has(this.#last));
    this.#used.add(this.#last);
    return this.#last;
  }

  /** Marks an identifier of an exchange that a former owner began. */
  reserve(identifier: number): void {
    this.#used.add(identifier);
  }

  free(identifier: number): void {
    this.#used.delete(identifier);
  }
}
