import type { QoS } from '../mqtt/message.ts';
import type { ProtocolVersion } from '../mqtt/protocol-version.ts';
import { FIRST_FAILURE, reasonName } from '../mqtt/reason-codes.ts';
import type { Granted, SubscriptionRequest, SubscriptionView } from '../schemas/subscription.ts';
import type { MqttLink } from './mqtt-client.ts';
import type { GrantedSubscription } from './session-status.ts';
import type { SubscriptionEntry } from './subscribing.ts';

/** Filters in one SUBSCRIBE: far below what a packet can hold, and what brokers are known to take. */
const MAX_PER_PACKET = 100;

/** What is wanted of the broker beside what it has granted, for one session. MQTT.js's own table is not used. */
export class SubscriptionTable {
  #granted: Map<string, GrantedSubscription>;

  constructor(granted: readonly GrantedSubscription[]) {
    this.#granted = new Map(granted.map((entry) => [entry.request.filter, entry]));
  }

  get granted(): GrantedSubscription[] {
    return [...this.#granted.values()];
  }

  has(filter: string): boolean {
    return this.#granted.has(filter);
  }

  /** A new session has no subscriptions. */
  reset(): void {
    this.#granted = new Map();
  }

  /** Makes the next `apply` ask the broker again, although it has granted the same before. */
  forget(filter: string): void {
    this.#granted.delete(filter);
  }

  view(wanted: readonly SubscriptionRequest[]): SubscriptionView[] {
    return wanted.map((request) => {
      const known = this.#granted.get(request.filter);
      return { ...request, granted: known !== undefined && sameOptions(known.request, request) ? known.granted : null };
    });
  }

  /** Sends what makes the broker's subscriptions the wanted ones, and nothing more. */
  async apply(link: MqttLink, wanted: readonly SubscriptionRequest[], version: ProtocolVersion): Promise<void> {
    const filters = new Set(wanted.map(({ filter }) => filter));
    const surplus = [...this.#granted.keys()].filter((filter) => !filters.has(filter));
    for (const chunk of inChunks(surplus)) {
      const codes = await link.unsubscribe(chunk);
      // What the broker refuses to end goes on; the next `apply` asks again.
      chunk.forEach((filter, index) => {
        if ((codes[index] ?? 0) < FIRST_FAILURE) this.#granted.delete(filter);
      });
    }
    const missing = wanted.filter((request) => {
      const known = this.#granted.get(request.filter);
      return known === undefined || !sameOptions(known.request, request);
    });
    for (const [identifier, requests] of byIdentifier(missing)) {
      for (const chunk of inChunks(requests)) {
        const codes = await link.subscribe(chunk.map(toEntry), identifier);
        chunk.forEach((request, index) => {
          const granted = toGranted(codes[index] ?? FIRST_FAILURE, version);
          this.#granted.set(request.filter, { request, granted });
        });
      }
    }
  }
}

/** A Subscription Identifier belongs to a whole SUBSCRIBE packet. [MQTT 5.0 §3.8.2.1.2] */
function byIdentifier(requests: readonly SubscriptionRequest[]): Map<number | undefined, SubscriptionRequest[]> {
  return Map.groupBy(requests, ({ subscriptionIdentifier }) => subscriptionIdentifier);
}

function* inChunks<Item>(items: readonly Item[]): Generator<Item[]> {
  for (let at = 0; at < items.length; at += MAX_PER_PACKET) yield items.slice(at, at + MAX_PER_PACKET);
}

function toEntry(request: SubscriptionRequest): SubscriptionEntry {
  return {
    filter: request.filter,
    qos: request.qos,
    noLocal: request.noLocal ?? false,
    retainAsPublished: request.retainAsPublished ?? false,
    retainHandling: request.retainHandling ?? 0,
  };
}

function toGranted(code: number, version: ProtocolVersion): Granted {
  const qos = code < FIRST_FAILURE ? (code as QoS) : null;
  return { qos, reasonCode: code, reason: reasonName('suback', code, version) };
}

function sameOptions(a: SubscriptionRequest, b: SubscriptionRequest): boolean {
  const [x, y] = [toEntry(a), toEntry(b)];
  return (
    a.subscriptionIdentifier === b.subscriptionIdentifier &&
    x.qos === y.qos &&
    x.noLocal === y.noLocal &&
    x.retainAsPublished === y.retainAsPublished &&
    x.retainHandling === y.retainHandling
  );
}
