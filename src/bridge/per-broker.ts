import { Problem } from '../errors/problem.ts';
import type { BrokerProfile } from './dependencies.ts';

/** One client per broker profile, made when first asked for. */
export class PerBroker<Client> {
  readonly #brokers: ReadonlyMap<string, BrokerProfile>;
  readonly #make: (profile: BrokerProfile) => Client;
  readonly #clients = new Map<string, Client>();

  constructor(brokers: ReadonlyMap<string, BrokerProfile>, make: (profile: BrokerProfile) => Client) {
    this.#brokers = brokers;
    this.#make = make;
  }

  /** Those that were asked for so far. */
  get made(): Iterable<Client> {
    return this.#clients.values();
  }

  has(broker: string): boolean {
    return this.#brokers.has(broker);
  }

  /** Throws `invalid-request` when there is no such profile. */
  get(broker: string): Client {
    const known = this.#clients.get(broker);
    if (known !== undefined) return known;
    const client = this.#make(requireProfile(this.#brokers, broker));
    this.#clients.set(broker, client);
    return client;
  }
}

/** Throws `invalid-request` when there is no such profile. */
export function requireProfile(brokers: ReadonlyMap<string, BrokerProfile>, broker: string): BrokerProfile {
  const profile = brokers.get(broker);
  if (profile !== undefined) return profile;
  const detail = `There is no broker profile ${JSON.stringify(broker)}`;
  throw new Problem('invalid-request', { detail, errors: [{ pointer: '?broker', detail }] });
}
