import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoreUnavailable } from '../../../src/bridge/ports.ts';
import { Transactions } from '../../../src/store/sqlite/transactions.ts';

let database: DatabaseSync;
let transactions: Transactions;
beforeEach(() => {
  database = new DatabaseSync(':memory:');
  database.exec('CREATE TABLE numbers (n INTEGER UNIQUE)');
  transactions = new Transactions(database, 'the-file');
});
afterEach(() => {
  if (database.isOpen) database.close();
});

function insert(...numbers: number[]): number {
  for (const n of numbers) database.prepare('INSERT INTO numbers VALUES (?)').run(n);
  return numbers.length;
}
function stored(): number[] {
  return database
    .prepare('SELECT n FROM numbers ORDER BY n')
    .all()
    .map(({ n }) => Number(n));
}

describe('group commit', () => {
  it('takes all that one turn asks for, in order, and resolves nobody before the commit', async () => {
    const ran: number[] = [];
    const writes = [1, 2, 3].map((n) =>
      transactions
        .write(() => {
          ran.push(n);
          return insert(n);
        })
        .then((count) => ({ count, ran: [...ran], committed: !database.isTransaction })),
    );
    expect(ran).toEqual([]);
    expect(await Promise.all(writes)).toEqual(Array(3).fill({ count: 1, ran: [1, 2, 3], committed: true }));
    expect(stored()).toEqual([1, 2, 3]);
  });

  it('undoes all of a unit that fails, and nothing of the others', async () => {
    const fault = new Error('no');
    const results = await Promise.allSettled([
      transactions.write(() => insert(1)),
      transactions.write(() => {
        insert(2, 3);
        throw fault;
      }),
      transactions.write(() => insert(4, 1)),
      transactions.write(() => insert(2)),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled']);
    expect(results[1]).toMatchObject({ reason: fault });
    expect(stored()).toEqual([1, 2]);
  });

  it('fails all whose transaction is lost, and goes on with the next', async () => {
    const results = await Promise.allSettled([
      transactions.write(() => insert(1)),
      transactions.write(() => {
        database.exec('ROLLBACK');
        throw Object.assign(new Error('database or disk is full'), { code: 'ERR_SQLITE_ERROR', errcode: 13 });
      }),
      transactions.write(() => insert(3)),
    ]);
    for (const result of results) expect(result).toMatchObject({ reason: expect.any(StoreUnavailable) });
    expect(stored()).toEqual([]);
    expect(await transactions.write(() => insert(4))).toBe(1);
    expect(stored()).toEqual([4]);
  });

  it('lets the event loop turn while much is waiting', async () => {
    let turns = 0;
    let counting = true;
    const count = () => {
      turns += 1;
      if (counting) setImmediate(count);
    };
    setImmediate(count);
    const slow = () => {
      const end = performance.now() + 4;
      while (performance.now() < end);
      return turns;
    };
    const seen = await Promise.all(Array.from({ length: 12 }, () => transactions.write(slow)));
    counting = false;
    expect(new Set(seen).size).toBeGreaterThanOrEqual(4);
  });

  it('commits what is waiting when it closes, and refuses what comes later', async () => {
    const waiting = transactions.write(() => insert(1));
    transactions.close();
    expect(stored()).toEqual([1]);
    expect(await waiting).toBe(1);
    await expect(transactions.write(() => insert(2))).rejects.toThrow(StoreUnavailable);
    await expect(transactions.read(stored)).rejects.toThrow(StoreUnavailable);
    expect(stored()).toEqual([1]);
  });
});
