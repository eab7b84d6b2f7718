import { expect, it, onTestFailed } from 'vitest';
import { killAtRandom } from '../helpers/kill-at-random.ts';
import { createRandom } from '../helpers/kill-random.ts';
import { FAULTLESS } from '../helpers/ledger.ts';

it('kill -9 at random moments, over SQLite: nothing acknowledged is lost, nothing is repeated at QoS 2', async () => {
  const random = createRandom();
  onTestFailed(() => console.error(`INTEGRITY_SEED=${random.seed}`));
  const { reports, strange } = await killAtRandom('SQLite', random);
  for (const { name, verdict } of reports) expect(verdict, name).toEqual(FAULTLESS);
  expect(strange).toEqual([]);
  // Twenty starts take half a minute where nothing else runs, and far longer where much does.
}, 240_000);
