/**
 * Run as a process of its own: opens the store file that it is given, says `open`, and appends to the keys that it is
 * given until it is killed. Each line `<key> <n>` says that messages up to n were committed for that key.
 */
import type { Key } from '../../../src/bridge/ports.ts';
import { openSqliteStore } from '../../../src/store/sqlite/index.ts';
import { entries, own, ROOMY } from './fixtures.ts';

const GROUP = 5;
const [path = '', ...keys] = process.argv.slice(2);
const store = openSqliteStore({ path });
process.stdout.write('open\n');
// Without keys to append to, something else has to keep the process, and so the lock.
setInterval(() => {}, 1_000);

await Promise.all(
  keys.map(async (key) => {
    const lease = await own(store, key as Key);
    for (let last = GROUP; ; last += GROUP) {
      const texts = Array.from({ length: GROUP }, (_, index) => `${last - GROUP + index + 1}`);
      await store.inbound.append(lease, 1, entries(texts), ROOMY);
      process.stdout.write(`${key} ${last}\n`);
    }
  }),
);
