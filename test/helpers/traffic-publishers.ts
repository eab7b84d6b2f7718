import { setTimeout as pause } from 'node:timers/promises';
import { connectPublisher, type RawPublisher } from './kill-publisher.ts';
import type { Sender } from './ledger.ts';

/** Of what a publisher sends together; below the 20 that Mosquitto has in flight unless told otherwise. */
const BATCH = 8;
/** Milliseconds between two of those. */
const BATCH_PAUSE = 40;

/** Where an independent client publishes, and what it notes. */
export interface Publishes {
  /** Of the broker, on 127.0.0.1. */
  readonly port: number;
  readonly topic: string;
  readonly qos: 1 | 2;
  readonly sender: Sender;
}

/** Publishes, a few messages at a time, until it is told to stop; through a broker that is down for a while too. */
export async function publishUntil(isStopping: () => boolean, publishes: Publishes): Promise<void> {
  let publisher: RawPublisher | null = null;
  while (!isStopping()) {
    try {
      publisher ??= await connectPublisher(publishes.port);
      await publish(publisher, publishes, BATCH);
    } catch {
      // The broker is down for now.
      publisher?.close();
      publisher = null;
    }
    await pause(BATCH_PAUSE);
  }
  publisher?.close();
}

/** Publishes one message more. Rejects when the broker does not acknowledge it. */
export async function publishLast(publishes: Publishes): Promise<void> {
  const publisher = await connectPublisher(publishes.port);
  await publish(publisher, publishes, 1);
  publisher.close();
}

async function publish(publisher: RawPublisher, { topic, qos, sender }: Publishes, count: number): Promise<void> {
  const sending = sender.begin(count).map(async (payload) => {
    await publisher.publish(topic, payload, qos);
    sender.acknowledge([payload]);
  });
  const results = await Promise.allSettled(sending);
  const failure = results.find((result) => result.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}
