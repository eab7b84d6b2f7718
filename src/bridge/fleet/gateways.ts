import type { Member, Members } from '../ports.ts';
import { Stopwatch } from '../stopwatch.ts';
import type { Placement } from './fleet.ts';

/** How long what the store said of the instances is good enough: they announce themselves every few seconds. */
const FRESH_MS = 1_000;

/** The instances that stay, as a function sees them: it is none of them, and leaves to them what they can do. */
export class Gateways implements Placement {
  readonly #members: Pick<Members, 'list'>;
  #known: readonly Member[] = [];
  #age: Stopwatch | null = null;

  constructor(members: Pick<Members, 'list'>) {
    this.#members = members;
  }

  async placeElsewhere(): Promise<string | null> {
    const open = (await this.#list()).filter((member) => member.open);
    return open.sort((a, b) => a.load - b.load)[0]?.nodeId ?? null;
  }

  async exist(): Promise<boolean> {
    return (await this.#list()).length > 0;
  }

  async #list(): Promise<readonly Member[]> {
    if (this.#age === null || this.#age.elapsedMs > FRESH_MS) {
      const age = new Stopwatch();
      this.#known = await this.#members.list();
      this.#age = age;
    }
    return this.#known;
  }
}
