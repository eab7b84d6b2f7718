import { isTransientRefusal } from '../../mqtt/reason-codes.ts';
import { type BrokerAddress, formatAddress } from '../transports/address.ts';
import { TlsContexts } from '../transports/tls-contexts.ts';
import { AddressMemory } from './address-memory.ts';
import { type LinkEnd, LinkError } from './link-end.ts';
import type { ConnectOptions } from './mqtt-client.ts';
import { type LinkHandlers, MqttLink } from './mqtt-link.ts';
import type { PacketIdentifiers } from './packet-identifiers.ts';
import { readServerReference, SERVER_MOVED, USE_ANOTHER_SERVER } from './server-reference.ts';

/** For a connection that is closed again at once. */
export const NO_HANDLERS: LinkHandlers = {
  onPacket: () => undefined,
  onBatchEnd: () => undefined,
  onDrain: () => undefined,
  onClose: () => undefined,
};

/** References followed in one attempt: brokers that send a client in a circle are not followed for ever. */
const MAX_HOPS = 3;

/** What may be the fault of the address, and not of what the client is or says. */
function isFaultOfAddress({ kind, reasonCode = 0 }: LinkEnd, { protocolLevel }: ConnectOptions): boolean {
  if (kind === 'refused') return isTransientRefusal(reasonCode, protocolLevel === 5 ? '5.0' : '3.1.1');
  return kind === 'unreachable' || kind === 'timeout' || kind === 'closed' || kind === 'protocol';
}

/** Opens network connections to brokers: finds the address that answers, and remembers what it met. One per process. */
export class Dialer {
  readonly #memory = new AddressMemory();
  readonly #contexts = new TlsContexts();
  readonly #isUrlAllowed: (url: string) => boolean;

  /** `isUrlAllowed`: whether a broker may send a client to this URL. */
  constructor(isUrlAllowed: (url: string) => boolean) {
    this.#isUrlAllowed = isUrlAllowed;
  }

  /**
   * Connects to the first of a broker's addresses that answers with a CONNACK, in their order, except that those that
   * failed lately come last; rejects with what the last one said. A Server Reference is followed where that is allowed.
   */
  async connect(
    addresses: readonly ConnectOptions[],
    identifiers: PacketIdentifiers,
    handlers: LinkHandlers,
    signal?: AbortSignal,
  ): Promise<MqttLink> {
    let failure = new LinkError({ kind: 'unreachable', detail: 'The broker has no address' });
    let hops = 0;
    const candidates = this.#inOrder(addresses, addresses);
    const deadline = Date.now() + (addresses[0]?.connectTimeoutMs ?? 0);
    for (let next = candidates.shift(); next !== undefined; next = candidates.shift()) {
      const options = next;
      // The time is for all of them together: a silent one leaves its share to those after it.
      const connectTimeoutMs = Math.max(1, (deadline - Date.now()) / (candidates.length + 1));
      const onClose = (end: LinkEnd) => {
        this.#elsewhere(options, end, addresses);
        handlers.onClose(end);
      };
      try {
        const link = await MqttLink.connect(
          { ...options, connectTimeoutMs, contexts: this.#contexts },
          identifiers,
          { ...handlers, onClose },
          signal,
        );
        this.#memory.succeeded(options.target.address);
        return link;
      } catch (error) {
        if (!(error instanceof LinkError)) throw error;
        // Where a broker sends a client is not what a caller did wrong: then what that broker said stands.
        if (error.end.kind !== 'forbidden' || isOwn(options.target.address, addresses)) failure = error;
        if (signal?.aborted) break;
        const goOn = isFaultOfAddress(error.end, options);
        if (goOn) this.#memory.failed(options.target.address);
        const elsewhere = hops < MAX_HOPS ? this.#elsewhere(options, error.end, addresses) : [];
        if (elsewhere.length > 0) {
          hops += 1;
          candidates.unshift(...this.#inOrder(elsewhere, addresses));
          // A CONNACK that time will not mend is the broker's word, whichever of its addresses said it.
        } else if (error.end.kind === 'refused' && !goOn) break;
      }
    }
    throw failure;
  }

  /** Where else the broker says to go as it refuses or ends a connection; kept for later attempts where that counts. */
  #elsewhere(from: ConnectOptions, end: LinkEnd, own: readonly ConnectOptions[]): ConnectOptions[] {
    const { address } = from.target;
    const { reasonCode, serverReference } = end;
    if (serverReference === undefined) return [];
    if (reasonCode !== USE_ANOTHER_SERVER && reasonCode !== SERVER_MOVED) return [];
    const elsewhere = readServerReference(serverReference, address).filter(
      (reference) => !isSame(reference, address) && this.#isAllowed(reference, own),
    );
    const permanent = reasonCode === SERVER_MOVED;
    // A refused attempt goes on there at once, and the next one asks again; DISCONNECT speaks of the next attempt.
    if (elsewhere.length > 0 && (permanent || end.kind === 'disconnected')) {
      this.#memory.redirect(from.clientId, address, { to: elsewhere, permanent });
    }
    return elsewhere.map((reference) => to(reference, from, own));
  }

  /** Where the broker has moved to comes before the address itself; what failed lately comes last. */
  #inOrder(addresses: readonly ConnectOptions[], own: readonly ConnectOptions[]): ConnectOptions[] {
    const byAddress = new Map<string, ConnectOptions>();
    for (const options of addresses.flatMap((each) => this.#withRedirections(each, own, MAX_HOPS))) {
      const name = formatAddress(options.target.address);
      if (!byAddress.has(name)) byAddress.set(name, options);
    }
    const isSuspect = ({ target }: ConnectOptions) => this.#memory.isSuspect(target.address);
    const all = [...byAddress.values()];
    return [...all.filter((options) => !isSuspect(options)), ...all.filter(isSuspect)];
  }

  #withRedirections(options: ConnectOptions, own: readonly ConnectOptions[], hops: number): ConnectOptions[] {
    if (hops === 0) return [options];
    const elsewhere = this.#memory
      .redirectionOf(options.clientId, options.target.address)
      .filter((address) => this.#isAllowed(address, own))
      .flatMap((address) => this.#withRedirections(to(address, options, own), own, hops - 1));
    return [...elsewhere, options];
  }

  /** The operator's credentials go to the addresses of their profile only, a caller's to what a caller may name. */
  #isAllowed(address: BrokerAddress, own: readonly ConnectOptions[]): boolean {
    const fromCaller = own.some(({ target }) => target.fromCaller);
    return isOwn(address, own) || (fromCaller && this.#isUrlAllowed(formatAddress(address)));
  }
}

/** The same CONNECT to another address; one that a broker names is guarded as one that a caller names. */
function to(address: BrokerAddress, from: ConnectOptions, own: readonly ConnectOptions[]): ConnectOptions {
  const known = own.find(({ target }) => isSame(target.address, address));
  return known ?? { ...from, target: { ...from.target, address, fromCaller: true } };
}

function isOwn(address: BrokerAddress, own: readonly ConnectOptions[]): boolean {
  return own.some(({ target }) => isSame(target.address, address));
}

function isSame(one: BrokerAddress, other: BrokerAddress): boolean {
  return formatAddress(one) === formatAddress(other);
}
