import { randomBytes } from 'node:crypto';
import type { ConnectionParameters } from '../schemas/connection.ts';
import { joinSecrets, secretNames, splitSecrets } from '../schemas/connection-secrets.ts';
import type { SecretBox } from './dependencies.ts';
import { brokerIdentity } from './link/connect-options.ts';
import type { ConnectionRecord, Key } from './ports.ts';

/** 120 random bits: nothing of the ClientID is in it. */
export function createKey(): Key {
  return randomBytes(15).toString('base64url') as Key;
}

/** Connection documents as records: their secrets are encrypted, bound to the key. */
export class Documents {
  readonly #box: SecretBox;

  constructor(box: SecretBox) {
    this.#box = box;
  }

  /** A new record. */
  create(
    parameters: ConnectionParameters & { id: string },
    marks: Pick<ConnectionRecord, 'assigned' | 'provisional'>,
  ): ConnectionRecord {
    const key = createKey();
    return {
      schema: 1,
      key,
      id: parameters.id,
      clientId: parameters.clientId,
      broker: brokerIdentity(parameters),
      ...this.#contents(key, parameters),
      createdAt: Date.now(),
      ...marks,
      revision: 1,
    };
  }

  /** The record with other parameters; who changes a Connection wants it to stay. */
  replace(record: ConnectionRecord, parameters: ConnectionParameters): ConnectionRecord {
    return {
      ...record,
      ...this.#contents(record.key, parameters),
      provisional: false,
      revision: record.revision + 1,
    };
  }

  /** The whole document, secrets too. */
  read(record: ConnectionRecord): ConnectionParameters {
    const secrets = record.sealed === null ? {} : JSON.parse(this.#box.open(record.sealed, record.key));
    return joinSecrets(record.parameters as ReturnType<typeof splitSecrets>['open'], secrets);
  }

  /** Which secrets are set. */
  secretNames(record: ConnectionRecord): string[] {
    return record.sealed === null ? [] : secretNames(JSON.parse(this.#box.open(record.sealed, record.key)));
  }

  #contents(key: Key, parameters: ConnectionParameters): Pick<ConnectionRecord, 'parameters' | 'sealed'> {
    const { open, secrets } = splitSecrets(parameters);
    const sealed = Object.keys(secrets).length === 0 ? null : this.#box.seal(JSON.stringify(secrets), key);
    return { parameters: open, sealed };
  }
}
