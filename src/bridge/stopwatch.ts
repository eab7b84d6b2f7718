/**
 * Measures time by the clock rule: the larger of wall and monotonic, because the monotonic clock stops while a machine is
 * suspended, and the wall clock can be set back.
 */
export class Stopwatch {
  #wall = Date.now();
  #monotonic = performance.now();

  restart(): void {
    this.#wall = Date.now();
    this.#monotonic = performance.now();
  }

  get elapsedMs(): number {
    return Math.max(Date.now() - this.#wall, performance.now() - this.#monotonic);
  }
}
