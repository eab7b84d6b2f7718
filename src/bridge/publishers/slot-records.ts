import type { ProtocolVersion } from '../../mqtt/protocol-version.ts';
import type { Connection } from '../connection/connection.ts';
import type { Documents } from '../documents.ts';
import { refusesVersion } from '../link/link-problems.ts';
import type { ConnectionRecord, ConnectionRecords } from '../ports.ts';
import { slotDocument } from './slots.ts';

/** The records of slots: made when they are first needed, and changed when a broker speaks another protocol version. */
export class SlotRecords {
  readonly #store: Pick<ConnectionRecords, 'byId' | 'byKey' | 'create' | 'update'>;
  readonly #documents: Documents;
  /** What brokers were found to speak since this process began. */
  readonly #versions = new Map<string, ProtocolVersion>();

  constructor(store: Pick<ConnectionRecords, 'byId' | 'byKey' | 'create' | 'update'>, documents: Documents) {
    this.#store = store;
    this.#documents = documents;
  }

  async findOrCreate(broker: string, id: string): Promise<ConnectionRecord> {
    const found = await this.#store.byId(id);
    if (found !== null) return found;
    const document = slotDocument({ id, broker }, this.#versionOf(broker));
    const record = this.#documents.create(document, { provisional: false });
    await this.#store.create(record);
    // Another instance may have been faster.
    return (await this.#store.byId(id)) ?? record;
  }

  /** Before an owned slot that is at rest is used: another version is another session, so not while anything is under way. */
  async refresh(slot: Connection): Promise<void> {
    const version = this.#versionOf(brokerOf(slot));
    if (slot.status.state === 'parked' && slot.parameters.protocolVersion !== version) await this.#speak(slot, version);
  }

  /**
   * After a CONNACK that refused an owned slot for its protocol version: the next CONNECT says another one. True when
   * that may be sent at once.
   */
  async fallBack(slot: Connection, error: unknown): Promise<boolean> {
    if (!refusesVersion(error)) return false;
    const { protocolVersion } = slot.parameters;
    const version = protocolVersion === '5.0' ? '3.1.1' : '5.0';
    this.#versions.set(brokerOf(slot), version);
    await this.#speak(slot, version);
    // A broker that refuses both is not asked in a circle.
    return protocolVersion === '5.0';
  }

  #versionOf(broker: string): ProtocolVersion {
    return this.#versions.get(broker) ?? '5.0';
  }

  /** Only the owner changes the record: where the revision is another one, the lease is another's too. */
  async #speak(slot: Connection, version: ProtocolVersion): Promise<void> {
    const { key, id, parameters } = slot;
    const record = await this.#store.byKey(key);
    if (record === null) return;
    const document = slotDocument({ id, broker: brokerOf(slot), clientId: parameters.clientId }, version);
    await this.#store.update(record.revision, this.#documents.replace(record, document));
    await slot.update(document, { reattach: false, subscriptions: false });
  }
}

function brokerOf({ parameters }: Connection): string {
  return parameters.broker ?? 'default';
}
