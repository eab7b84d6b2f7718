import { randomUUID } from 'node:crypto';
import type { Endpoint } from './mosquitto.ts';
import { type ProcessExit, startProcess } from './process.ts';

/**
 * Runs mosquitto_pub to its end, and answers its output. Rejects with its error output when it fails, which at QoS 1
 * and 2 includes that the broker did not acknowledge. The payload of `-s` or `-l` comes from `stdin`.
 */
export async function mosquittoPub(
  broker: Endpoint,
  args: readonly string[],
  { stdin }: { readonly stdin?: string | Uint8Array } = {},
): Promise<string> {
  const publisher = await startProcess(
    'mosquitto_pub',
    [...addressOf(broker), ...args],
    stdin === undefined ? {} : { stdin },
  );
  const { code, signal } = await publisher.exited;
  if (code !== 0) throw new Error(`mosquitto_pub ended with ${code ?? signal}: ${publisher.output()}`);
  return publisher.output();
}

export interface Subscriber {
  /** The complete lines so far: one for each message, unless its payload holds newlines or `-F` says otherwise. */
  lines(): string[];
  /** Resolves with all lines when there are `count` or more; rejects when it ends, or the time (ms, 10,000) is over. */
  waitForLines(count: number, within?: number): Promise<string[]>;
  /** Settles when mosquitto_sub ends, as it does by itself with `-C` or `-W`. */
  readonly exited: Promise<ProcessExit>;
  /** Ends it: it sends DISCONNECT. */
  stop(): Promise<ProcessExit>;
  /** Ends it without DISCONNECT. */
  kill(): Promise<ProcessExit>;
}

/**
 * Starts mosquitto_sub. A broker started by `startMosquitto` is asked when it has granted the subscription, and only
 * then it resolves: what is published afterwards arrives. With other brokers it resolves at once.
 */
export async function mosquittoSub(broker: Endpoint, args: readonly string[]): Promise<Subscriber> {
  const idAt = args.findIndex((argument) => argument === '-i' || argument === '--id');
  const clientId = (idAt === -1 ? undefined : args[idAt + 1]) ?? `sub-${randomUUID().slice(0, 8)}`;
  const identity = idAt === -1 ? ['-i', clientId] : [];
  const granted = broker.subscribed?.(clientId);
  // Awaited below, unless the program cannot even be started.
  granted?.catch(() => {});
  const subscriber = await startProcess('mosquitto_sub', [...addressOf(broker), ...identity, ...args]);
  const lines = () => subscriber.stdout().split('\n').slice(0, -1);
  const waitForLines = (count: number, within?: number) =>
    subscriber.waitForState(() => (lines().length >= count ? lines() : null), `${count} lines of output`, within);
  if (granted !== undefined) {
    const ended = subscriber.exited.then(({ code }) => {
      if (code !== 0) throw new Error(`mosquitto_sub ended with ${code}: ${subscriber.output()}`);
    });
    await Promise.race([granted, ended]);
  }
  return {
    lines,
    waitForLines,
    exited: subscriber.exited,
    stop: () => subscriber.stop(),
    kill: () => subscriber.kill(),
  };
}

const addressOf = (broker: Endpoint) => broker.clientArguments ?? ['-h', '127.0.0.1', '-p', String(broker.port)];
