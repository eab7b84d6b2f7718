import fc from 'fast-check';
import { expect } from 'vitest';
import { type Epoch, type Fence, type Holder, type Key, StaleEpoch, type Store } from '../../../src/bridge/ports.ts';
import { LONG, newKey } from '../store/fixtures.ts';

/** What a lease is: who has it, and with which epoch; nobody between two holdings keeps the epoch. */
interface Model {
  holder: Holder | null;
  /** The latest holding, ended or not. */
  last: { holder: Holder; epoch: Epoch } | null;
  /** Every fence that was ever given out. */
  fences: Fence[];
}

interface Real {
  store: Store;
  key: Key;
  /** Ends the lease as its time would. */
  expire: (key: Key) => Promise<void>;
}

type Command = fc.AsyncCommand<Model, Real>;

const same = (a: Holder, b: Holder) => a.nodeId === b.nodeId && a.process === b.process;
const isValid = (model: Model, fence: Fence) => model.holder !== null && model.last?.epoch === fence.epoch;

class Acquire implements Command {
  readonly #holder: Holder;
  constructor(holder: Holder) {
    this.#holder = holder;
  }
  check = () => true;
  async run(model: Model, { store, key }: Real): Promise<void> {
    const answer = await store.leases.acquire(key, this.#holder, LONG);
    if (model.holder !== null && model.holder.nodeId !== this.#holder.nodeId) {
      expect(answer).toEqual({ heldBy: model.holder.nodeId });
      return;
    }
    if ('heldBy' in answer) throw new Error(`held by ${answer.heldBy}`);
    const keepsEpoch = model.last !== null && same(model.last.holder, this.#holder);
    expect(model.fences.some(({ epoch }) => epoch === answer.epoch)).toBe(keepsEpoch);
    if (keepsEpoch) expect(answer.epoch).toBe(model.last?.epoch);
    model.holder = this.#holder;
    model.last = { holder: this.#holder, epoch: answer.epoch };
    model.fences.push(answer);
  }
  toString = () => `acquire(${this.#holder.nodeId}.${this.#holder.process})`;
}

/** Does something with one of the fences that were given out. */
class WithFence implements Command {
  readonly #what: 'renew' | 'release' | 'write';
  readonly #place: number;
  constructor(what: 'renew' | 'release' | 'write', place: number) {
    this.#what = what;
    this.#place = place;
  }
  check = ({ fences }: Readonly<Model>) => fences.length > 0;
  async run(model: Model, { store, key }: Real): Promise<void> {
    const fence = model.fences[this.#place % model.fences.length];
    if (fence === undefined) throw new Error('unreachable');
    const valid = isValid(model, fence);
    if (this.#what === 'renew') {
      const { renewed, lost } = await store.leases.renew([fence], LONG);
      expect([...renewed]).toEqual(valid ? [key] : []);
      expect([...lost]).toEqual(valid ? [] : [key]);
    } else if (this.#what === 'release') {
      await store.leases.release(fence);
      if (valid) model.holder = null;
    } else {
      const writing = store.inbound.saveStatus(fence, { state: 'online' });
      await (valid ? expect(writing).resolves.toBeUndefined() : expect(writing).rejects.toThrow(StaleEpoch));
    }
  }
  toString = () => `${this.#what}(${this.#place})`;
}

class Expire implements Command {
  check = ({ holder }: Readonly<Model>) => holder !== null;
  async run(model: Model, { key, expire }: Real): Promise<void> {
    await expire(key);
    model.holder = null;
  }
  toString = () => 'expire';
}

class Look implements Command {
  check = () => true;
  async run(model: Model, { store, key }: Real): Promise<void> {
    expect(await store.leases.holder(key)).toBe(model.holder?.nodeId ?? null);
  }
  toString = () => 'look';
}

const holders = fc.record({ nodeId: fc.constantFrom('a', 'b', 'c'), process: fc.constantFrom('1', '2') });

/** Holds the leases of a store against the model, in many short histories. */
export async function checkLeases(store: Store, expire: Real['expire'], numRuns: number): Promise<void> {
  const commands = fc.commands(
    [
      holders.map((holder) => new Acquire(holder)),
      fc
        .tuple(fc.constantFrom('renew' as const, 'release' as const, 'write' as const), fc.nat(20))
        .map(([what, place]) => new WithFence(what, place)),
      fc.constant(new Expire()),
      fc.constant(new Look()),
    ],
    { maxCommands: 40 },
  );
  await fc.assert(
    fc.asyncProperty(commands, async (history) => {
      const setup = () => ({
        model: { holder: null, last: null, fences: [] } as Model,
        real: { store, key: newKey(), expire },
      });
      await fc.asyncModelRun(setup, history);
    }),
    { numRuns },
  );
}
