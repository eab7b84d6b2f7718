import { setTimeout as delay } from 'node:timers/promises';
import type { ConnectionRecord, CreateResult, Key } from '../../bridge/ports.ts';
import { StoreUnavailable } from '../../bridge/ports.ts';
import type { Commands } from './client.ts';
import type { Keys } from './keys.ts';
import { PREPARED_FOR, type RecordTable } from './record-table.ts';
import { asText } from './replies.ts';

/** Milliseconds between two looks at a create of another caller that has the name but is not committed yet. */
const LOOK_AGAIN = 10;

/** A name that at most one Connection has. */
export interface UniqueName {
  /** Where the key of the Connection that has it is kept. */
  readonly claim: string;
  readonly taken: Exclude<CreateResult, 'created'>;
  /** Whether a record is of the Connection that the name belongs to. */
  matches(record: ConnectionRecord): boolean;
}

export function nameById(keys: Keys, id: string): UniqueName {
  return { claim: keys.claimOfId(id), taken: 'id-taken', matches: (record) => record.id === id };
}

export function nameByClientId(keys: Keys, broker: string, clientId: string): UniqueName {
  return {
    claim: keys.claimOfClientId(broker, clientId),
    taken: 'client-id-in-use',
    matches: (record) => record.broker === broker && record.clientId === clientId,
  };
}

/** In the order in which they are claimed: the same for everybody, so that no two creates wait for each other. */
export function namesOf(keys: Keys, { id, broker, clientId }: ConnectionRecord): UniqueName[] {
  return [nameById(keys, id), nameByClientId(keys, broker, clientId)];
}

/**
 * Claims of unique names, in slots of their own. A claim only points: it counts if the record of the key that it holds
 * exists and has that name. One that does not is stale, left behind by a crash, and is taken over.
 */
export class Claims {
  readonly #client: Commands;
  readonly #records: RecordTable;

  constructor(client: Commands, records: RecordTable) {
    this.#client = client;
    this.#records = records;
  }

  /** Answers whether the name is now `key`'s. Its record must have been prepared, or others would find it stale. */
  async take({ claim, matches }: UniqueName, key: Key): Promise<boolean> {
    const deadline = performance.now() + PREPARED_FOR;
    let stale = '';
    for (;;) {
      const holder = asText(await this.#client.run('claim', [claim], [key, stale]));
      if (holder === '') return true;
      const found = await this.#records.find(holder as Key);
      if (found === 'prepared') {
        if (performance.now() > deadline) throw new StoreUnavailable('Another create of the same name does not end');
        await delay(LOOK_AGAIN);
      } else if (found !== null && matches(found)) {
        return false;
      } else {
        // A record that is gone never comes back, so between this look and the next step it cannot become valid.
        stale = holder;
      }
    }
  }

  async release({ claim }: Pick<UniqueName, 'claim'>, key: Key): Promise<void> {
    await this.#client.run('claim-release', [claim], [key]);
  }

  /** The record of the Connection that has the name. */
  async find({ claim, matches }: UniqueName): Promise<ConnectionRecord | null> {
    const holder = await this.#client.send('GET', claim);
    if (holder === null) return null;
    const found = await this.#records.find(asText(holder) as Key);
    return found !== null && found !== 'prepared' && matches(found) ? found : null;
  }
}
