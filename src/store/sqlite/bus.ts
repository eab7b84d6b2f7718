import type { Bus, Listening } from '../../bridge/ports.ts';

/** Frames between instances of this process. */
export class MemoryBus implements Bus {
  readonly #listeners = new Map<string, Set<(frame: Uint8Array) => void>>();

  async listen(nodeId: string, onFrame: (frame: Uint8Array) => void): Promise<Listening> {
    const listener = (frame: Uint8Array) => onFrame(frame);
    const listeners = this.#listeners.get(nodeId) ?? new Set();
    this.#listeners.set(nodeId, listeners.add(listener));
    return {
      isUp: true,
      stop: () => {
        listeners.delete(listener);
        if (listeners.size === 0 && this.#listeners.get(nodeId) === listeners) this.#listeners.delete(nodeId);
      },
    };
  }

  /** Delivers soon, and not from here: what a listener throws is none of the sender's business. */
  async send(nodeId: string, frame: Uint8Array): Promise<boolean> {
    const listeners = this.#listeners.get(nodeId);
    if (listeners === undefined) return false;
    for (const listener of listeners) {
      setImmediate(() => {
        if (listeners.has(listener)) listener(frame);
      });
    }
    return true;
  }
}
