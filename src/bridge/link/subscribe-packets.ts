/** How subscriptions are divided among SUBSCRIBE and UNSUBSCRIBE packets. [MQTT 5.0 §3.8, §3.10] */

/** Filters in one packet: far below what it can hold, and what brokers are known to take. */
const MAX_PER_PACKET = 100;

interface WithFilter {
  readonly filter: string;
}

/** Bytes of a SUBSCRIBE of MQTT 5.0 with these filters; an UNSUBSCRIBE of them is shorter. */
export function subscribeBytes(items: readonly WithFilter[], subscriptionIdentifier?: number): number {
  const properties = subscriptionIdentifier === undefined ? 0 : 1 + variableBytes(subscriptionIdentifier);
  const payload = items.reduce((sum, { filter }) => sum + 2 + Buffer.byteLength(filter) + 1, 0);
  const remaining = 2 + variableBytes(properties) + properties + payload;
  return 1 + variableBytes(remaining) + remaining;
}

/**
 * The items in their order, for one packet at a time: at most 100, and in not more bytes than the broker takes. Each
 * has to fit by itself.
 */
export function* inPackets<Item extends WithFilter>(
  items: readonly Item[],
  maximumPacketSize: number,
  subscriptionIdentifier?: number,
): Generator<Item[]> {
  let packet: Item[] = [];
  for (const item of items) {
    const longer = [...packet, item];
    const fits = longer.length <= MAX_PER_PACKET && subscribeBytes(longer, subscriptionIdentifier) <= maximumPacketSize;
    if (!fits && packet.length > 0) yield packet;
    packet = fits ? longer : [item];
  }
  if (packet.length > 0) yield packet;
}

/** Bytes of a Variable Byte Integer. [MQTT 5.0 §1.5.5] */
function variableBytes(value: number): number {
  return value < 2 ** 7 ? 1 : value < 2 ** 14 ? 2 : value < 2 ** 21 ? 3 : 4;
}
