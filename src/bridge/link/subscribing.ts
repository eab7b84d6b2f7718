import { generate, type ISubackPacket, type IUnsubackPacket } from 'mqtt-packet';
import type { QoS } from '../../mqtt/message.ts';
import type { PacketIdentifiers } from './packet-identifiers.ts';

export interface SubscriptionEntry {
  filter: string;
  qos: QoS;
  noLocal: boolean;
  retainAsPublished: boolean;
  retainHandling: 0 | 1 | 2;
}

interface Pending {
  /** The acknowledgement that answers it, and how many codes it has to have. */
  answer: 'suback' | 'unsuback';
  count: number;
  resolve: (codes: number[]) => void;
  reject: (error: Error) => void;
}

export interface SubscribingOptions {
  identifiers: PacketIdentifiers;
  protocolLevel: number;
  write: (bytes: Uint8Array) => void;
  /** The broker answered what cannot be: the connection must be closed. */
  onProtocolError: (detail: string) => void;
}

/**
 * SUBSCRIBE and UNSUBSCRIBE of one network connection, one packet with its filters in their order for each call. MQTT.js
 * would take them as names of an object: reordered, some of them special, and one refused filter an error for all.
 */
export class Subscribing {
  readonly #options: SubscribingOptions;
  readonly #pending = new Map<number, Pending>();
  #ended: Error | null = null;

  constructor(options: SubscribingOptions) {
    this.#options = options;
  }

  /** Answers SUBACK's code for each filter, refused ones included. */
  subscribe(entries: readonly SubscriptionEntry[], subscriptionIdentifier?: number): Promise<number[]> {
    const { protocolLevel } = this.#options;
    return this.#send('suback', entries.length, (messageId) =>
      generate(
        {
          cmd: 'subscribe',
          messageId,
          subscriptions: entries.map(({ filter, qos, noLocal, retainAsPublished, retainHandling }) => ({
            topic: filter,
            qos,
            ...(protocolLevel < 5 ? {} : { nl: noLocal, rap: retainAsPublished, rh: retainHandling }),
          })),
          ...(subscriptionIdentifier === undefined ? {} : { properties: { subscriptionIdentifier } }),
        },
        { protocolVersion: protocolLevel },
      ),
    );
  }

  /** Answers UNSUBACK's code for each filter; none on 3.x. */
  unsubscribe(filters: readonly string[]): Promise<number[]> {
    const { protocolLevel } = this.#options;
    return this.#send('unsuback', protocolLevel < 5 ? 0 : filters.length, (messageId) =>
      generate({ cmd: 'unsubscribe', messageId, unsubscriptions: [...filters] }, { protocolVersion: protocolLevel }),
    );
  }

  onAck(packet: ISubackPacket | IUnsubackPacket): void {
    const { messageId = 0, cmd } = packet;
    const pending = this.#pending.get(messageId);
    if (pending === undefined) return;
    const codes = ((packet.granted as number[] | undefined) ?? []).slice();
    if (pending.answer !== cmd || codes.length !== pending.count) {
      this.#options.onProtocolError(`${cmd.toUpperCase()} does not answer what was asked`);
      return;
    }
    this.#pending.delete(messageId);
    this.#options.identifiers.free(messageId);
    pending.resolve(codes);
  }

  /** The network connection is gone: so are its answers. */
  end(error: Error): void {
    this.#ended = error;
    for (const [messageId, { reject }] of this.#pending) {
      this.#options.identifiers.free(messageId);
      reject(error);
    }
    this.#pending.clear();
  }

  #send(answer: Pending['answer'], count: number, encode: (messageId: number) => Buffer): Promise<number[]> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== null) throw this.#ended;
      const messageId = this.#options.identifiers.allocate();
      if (messageId === null) throw new Error('All packet identifiers are in use');
      this.#pending.set(messageId, { answer, count, resolve, reject });
      this.#options.write(encode(messageId));
    });
  }
}
