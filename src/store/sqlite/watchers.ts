import type { Key } from '../../bridge/ports.ts';

/** Who wants to know of appends, by key. */
export class Watchers {
  readonly #byKey = new Map<Key, Set<() => void>>();

  /** Answers the way to stop. The same function may watch more than once. */
  add(key: Key, onAppend: () => void): () => void {
    const watcher = () => onAppend();
    const watchers = this.#byKey.get(key) ?? new Set();
    this.#byKey.set(key, watchers.add(watcher));
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#byKey.get(key) === watchers) this.#byKey.delete(key);
    };
  }

  /** Calls them soon, and not from here: what a watcher throws is none of the writer's business. */
  wake(key: Key): void {
    for (const watcher of this.#byKey.get(key) ?? []) queueMicrotask(watcher);
  }
}
