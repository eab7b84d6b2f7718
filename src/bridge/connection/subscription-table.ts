import type { QoS } from '../../mqtt/message.ts';
import type { ProtocolVersion } from '../../mqtt/protocol-version.ts';
import { FIRST_FAILURE, reasonName } from '../../mqtt/reason-codes.ts';
import type { Granted, SubscriptionRequest, SubscriptionView } from '../../schemas/subscription.ts';
import type { MqttLink } from '../link/mqtt-link.ts';
import { readServerLimits, type ServerLimits, subscriptionRefusal } from '../link/server-limits.ts';
import { inPackets, subscribeBytes } from '../link/subscribe-packets.ts';
import type { SubscriptionEntry } from '../link/subscribing.ts';
import type { GrantedSubscription } from './session-status.ts';

/** What is wanted of the broker beside what it has granted, for one session. MQTT.js's own table is not used. */
export class SubscriptionTable {
  /** What the broker answered. */
  #granted: Map<string, GrantedSubscription>;
  /** What this broker may not be asked for. */
  #unavailable = new Map<string, GrantedSubscription>();
  /** Filters to be asked for again, although the broker has granted the same before. */
  readonly #again = new Set<string>();
  #link: MqttLink | null = null;

  constructor(granted: readonly GrantedSubscription[]) {
    this.#granted = new Map(granted.map((entry) => [entry.request.filter, entry]));
  }

  get granted(): GrantedSubscription[] {
    return [...this.#granted.values(), ...this.#unavailable.values()];
  }

  has(filter: string): boolean {
    return this.#granted.has(filter);
  }

  /** A new session has no subscriptions. */
  reset(): void {
    this.#granted = new Map();
    this.#unavailable = new Map();
  }

  /** Makes the next `apply` ask the broker again, although it has granted the same before. */
  forget(filter: string): void {
    this.#again.add(filter);
  }

  view(wanted: readonly SubscriptionRequest[]): SubscriptionView[] {
    return wanted.map((request) => {
      const known = this.#unavailable.get(request.filter) ?? this.#granted.get(request.filter);
      return { ...request, granted: known !== undefined && sameOptions(known.request, request) ? known.granted : null };
    });
  }

  /** Sends what makes the broker's subscriptions the wanted ones, and nothing more, nor what it would not take. */
  async apply(link: MqttLink, wanted: readonly SubscriptionRequest[], version: ProtocolVersion): Promise<void> {
    if (this.#link !== link) this.#forgetRefused(link);
    const limits = readServerLimits(link.connack);
    this.#unavailable = new Map(wanted.flatMap((request) => unavailable(request, limits)));
    const available = wanted.filter(({ filter }) => !this.#unavailable.has(filter));
    await this.#unsubscribe(link, available, limits);
    const missing = available.filter((request) => !this.#isSettled(request));
    // A Subscription Identifier belongs to a whole SUBSCRIBE packet. [MQTT 5.0 §3.8.2.1.2]
    for (const [identifier, requests] of Map.groupBy(missing, ({ subscriptionIdentifier: own }) => own)) {
      for (const packet of inPackets(requests, limits.maximumPacketSize, identifier)) {
        const codes = await link.subscribe(packet.map(toEntry), identifier);
        for (const [index, request] of packet.entries()) {
          this.#granted.set(request.filter, { request, granted: toGranted(codes[index] ?? FIRST_FAILURE, version) });
          this.#again.delete(request.filter);
        }
      }
    }
  }

  async #unsubscribe(link: MqttLink, wanted: readonly SubscriptionRequest[], limits: ServerLimits): Promise<void> {
    const filters = new Set(wanted.map(({ filter }) => filter));
    const surplus = [...this.#granted.values()]
      .map(({ request }) => request)
      .filter(({ filter }) => !filters.has(filter));
    const sendable = surplus.filter((request) => subscribeBytes([request]) <= limits.maximumPacketSize);
    for (const packet of inPackets(sendable, limits.maximumPacketSize)) {
      const codes = await link.unsubscribe(packet.map(({ filter }) => filter));
      // What the broker refuses to end goes on; the next `apply` asks again.
      for (const [index, { filter }] of packet.entries()) {
        if ((codes[index] ?? 0) < FIRST_FAILURE) this.#granted.delete(filter);
      }
    }
  }

  #isSettled(request: SubscriptionRequest): boolean {
    const known = this.#granted.get(request.filter);
    return known !== undefined && !this.#again.has(request.filter) && sameOptions(known.request, request);
  }

  /** What was refused on one network connection may be granted on the next. */
  #forgetRefused(link: MqttLink): void {
    this.#link = link;
    this.#granted = new Map([...this.#granted].filter(([, { granted }]) => granted.qos !== null));
  }
}

/** The entry of a subscription that the broker may not be asked for; none for the others. */
function unavailable(request: SubscriptionRequest, limits: ServerLimits): [string, GrantedSubscription][] {
  const granted = subscriptionRefusal(request, limits);
  return granted === null ? [] : [[request.filter, { request, granted }]];
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
