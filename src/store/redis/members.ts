import type { Member, Members } from '../../bridge/ports.ts';
import type { Argument, Runner } from './client.ts';
import type { Keys } from './keys.ts';
import { asNumber, asRows, asText } from './replies.ts';

/** The instances that live, by the clock of Redis, in one hash: there are few, and all are asked for at once. */
export class RedisMembers implements Members {
  readonly #client: Runner;
  readonly #keys: Keys;

  constructor(client: Runner, keys: Keys) {
    this.#client = client;
    this.#keys = keys;
  }

  announce({ nodeId, process, ...details }: Member, ttlMs: number): Promise<Member[]> {
    return this.#living([nodeId, process, JSON.stringify(details), ttlMs]);
  }

  list(): Promise<Member[]> {
    return this.#living(['', '', '', 0]);
  }

  async leave({ nodeId, process }: Pick<Member, 'nodeId' | 'process'>): Promise<void> {
    await this.#client.run('member-leave', [this.#keys.members()], [nodeId, process]);
  }

  async time(): Promise<number> {
    return asNumber(await this.#client.run('time', [this.#keys.members()], []));
  }

  async #living(announcement: Argument[]): Promise<Member[]> {
    const reply = await this.#client.run('members', [this.#keys.members()], announcement);
    return asRows(reply, 3).map(([nodeId, process, details]) => ({
      ...(JSON.parse(asText(details)) as Pick<Member, 'load' | 'open'>),
      nodeId: asText(nodeId),
      process: asText(process),
    }));
  }
}
