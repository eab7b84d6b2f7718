import { type BrokerAddress, formatAddress } from '../transports/address.ts';

/** How long an address that failed comes after the others. */
const FAILED_FOR_MS = 30_000;
/** What is remembered at most of each kind; the oldest is forgotten first. */
const MAX_ENTRIES = 10_000;

interface Redirection {
  to: readonly BrokerAddress[];
  /** False: for the next attempt alone. */
  permanent: boolean;
}

/**
 * What the Connections of a process have learnt about broker addresses: which failed a moment ago, so that nobody else
 * spends time on a dead node first, and where brokers told clients to go instead.
 */
export class AddressMemory {
  readonly #failed = new Map<string, number>();
  readonly #redirections = new Map<string, Redirection>();

  failed(address: BrokerAddress, now = Date.now()): void {
    remember(this.#failed, formatAddress(address), now);
  }

  succeeded(address: BrokerAddress): void {
    this.#failed.delete(formatAddress(address));
  }

  /** Whether it failed lately: then it is tried after the others, not left out. */
  isSuspect(address: BrokerAddress, now = Date.now()): boolean {
    const failedAt = this.#failed.get(formatAddress(address));
    return failedAt !== undefined && now - failedAt < FAILED_FOR_MS;
  }

  /** A broker's word to one client: others may belong elsewhere. */
  redirect(clientId: string, from: BrokerAddress, redirection: Redirection): void {
    remember(this.#redirections, redirectionKey(clientId, from), redirection);
  }

  /** Where this client was told to go from there; a temporary redirection is told once. */
  redirectionOf(clientId: string, from: BrokerAddress): readonly BrokerAddress[] {
    const key = redirectionKey(clientId, from);
    const redirection = this.#redirections.get(key);
    if (redirection?.permanent === false) this.#redirections.delete(key);
    return redirection?.to ?? [];
  }
}

function redirectionKey(clientId: string, from: BrokerAddress): string {
  return `${formatAddress(from)} ${clientId}`;
}

function remember<Value>(map: Map<string, Value>, key: string, value: Value): void {
  // Behind the others again: the map's order is that of age.
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > MAX_ENTRIES && oldest !== undefined) map.delete(oldest);
}
