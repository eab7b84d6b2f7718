import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Certificates } from './certificates.ts';
import { freePorts } from './ports.ts';
import { type ProcessExit, type RunningProcess, startProcess } from './process.ts';
import { temporaryDirectory } from './temporary.ts';

export type Listener = 'tcp' | 'tls' | 'mutualTls' | 'ws' | 'wss';

export interface MosquittoOptions {
  /** Each on a port of its own; `tcp` is always there, as the last one when not said. */
  readonly listeners?: readonly Listener[];
  /** Needed for `tls`, `mutualTls` and `wss`. */
  readonly certificates?: Certificates;
  /** Which certificate those listeners show: `server` when not said. */
  readonly show?: 'server' | 'expired' | 'wrongHost';
  /** User names and passwords. Without it anonymous clients are let in; with it, only these users. */
  readonly users?: Readonly<Record<string, string>>;
  /** Keeps sessions and retained messages on disk, written when it is stopped. False when not said. */
  readonly persistence?: boolean;
  /** More lines of mosquitto.conf. */
  readonly config?: readonly string[];
}

/** Where a client finds a broker, and what mosquitto_pub and mosquitto_sub must be told to get in. */
export interface Endpoint {
  readonly url: string;
  readonly port: number;
  readonly clientArguments?: readonly string[];
  /** Resolves once the broker answers the next SUBSCRIBE of that ClientID: lets `mosquittoSub` know when it is heard. */
  readonly subscribed?: (clientId: string) => Promise<unknown>;
}

/** A broker of one's own. It is the endpoint of its first listener too. */
export interface Mosquitto extends Endpoint {
  readonly directory: string;
  /** The endpoint of another listener; throws when it was not asked for. */
  over(listener: Listener): Endpoint;
  /** What it logged since it was last started, everything that Mosquitto can log. */
  log(): string;
  waitForLog(pattern: RegExp, within?: number): Promise<RegExpMatchArray>;
  /** Tells each piece of its log from now on, through all its lives, as it arrives. */
  onLog(listener: (text: string) => void): void;
  /** SIGTERM: it saves what is persistent and ends. */
  stop(): Promise<ProcessExit>;
  /** SIGKILL: what it had not saved is lost. */
  kill(): Promise<ProcessExit>;
  /** After `stop` or `kill`: the same ports, configuration and directory. */
  start(): Promise<void>;
  restart(): Promise<void>;
  /** To freeze (SIGSTOP) and thaw (SIGCONT) it. */
  signal(signal: NodeJS.Signals): void;
}

const SCHEMES: Readonly<Record<Listener, string>> = {
  tcp: 'mqtt',
  tls: 'mqtts',
  mutualTls: 'mqtts',
  ws: 'ws',
  wss: 'wss',
};

/** Starts a real Mosquitto on 127.0.0.1, and waits until it runs. */
export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  // Mosquitto 2.0.11 does not start when it has nothing but WebSocket listeners.
  const listeners = [...new Set([...(options.listeners ?? []), 'tcp' as const])];
  const directory = temporaryDirectory('mosquitto');
  const ports = await freePorts(listeners.length);
  const portOf = new Map(listeners.map((listener, index) => [listener, ports[index] ?? 0]));
  const configFile = join(directory, 'mosquitto.conf');
  const lines = [
    ...(await globalLines(directory, options)),
    ...[...portOf].flatMap(([listener, port]) => listenerLines(listener, port, options)),
    ...(options.config ?? []),
  ];
  await writeFile(configFile, `${lines.join('\n')}\n`);

  const listenersOfLog: ((text: string) => void)[] = [];
  const launch = async () => {
    const child = await startProcess('mosquitto', ['-c', configFile], {
      // Debian puts it where the PATH of an ordinary user does not lead.
      env: { PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` },
    });
    for (const listener of listenersOfLog) child.onOutput(listener);
    await child.waitForOutput(/mosquitto version \S+ running/);
    return child;
  };
  let broker: RunningProcess = await launch();

  const over = (listener: Listener): Endpoint => {
    const port = portOf.get(listener);
    if (port === undefined) throw new Error(`this broker has no ${listener} listener`);
    return {
      port,
      // By name where the certificate is checked against it.
      url: `${SCHEMES[listener]}://${isTls(listener) ? 'localhost' : '127.0.0.1'}:${port}`,
      clientArguments: clientArguments(listener, port, options.certificates),
      subscribed: (clientId) => nextSuback(broker, clientId),
    };
  };

  const start = async () => {
    if (broker.exit === null) throw new Error('it runs already');
    broker = await launch();
  };
  return {
    ...over(listeners[0] ?? 'tcp'),
    directory,
    over,
    log: () => broker.output(),
    waitForLog: (pattern, within) => broker.waitForOutput(pattern, within),
    onLog(listener) {
      listenersOfLog.push(listener);
      broker.onOutput(listener);
    },
    stop: () => broker.stop(),
    kill: () => broker.kill(),
    start,
    async restart() {
      await broker.stop();
      await start();
    },
    signal: (signal) => broker.signal(signal),
  };
}

function nextSuback(broker: RunningProcess, clientId: string): Promise<unknown> {
  const line = `Sending SUBACK to ${clientId}\n`;
  const count = () => broker.output().split(line).length - 1;
  const before = count();
  return broker.waitForState(() => (count() > before ? true : null), line.trim());
}

async function globalLines(directory: string, { users, persistence = false }: MosquittoOptions): Promise<string[]> {
  const lines = ['log_dest stderr', 'log_type all', 'log_timestamp false', 'connection_messages true'];
  lines.push(`allow_anonymous ${users === undefined}`);
  lines.push(`persistence ${persistence}`, `persistence_location ${directory}/`);
  // Started by root it would become the user "mosquitto", who may not write into our directory.
  if (process.getuid?.() === 0) lines.push('user root');
  if (users !== undefined) {
    const file = join(directory, 'passwords');
    await writeFile(file, '', { mode: 0o600 });
    for (const [name, password] of Object.entries(users)) {
      await promisify(execFile)('mosquitto_passwd', ['-b', file, name, password]);
    }
    lines.push(`password_file ${file}`);
  }
  return lines;
}

const isTls = (listener: Listener) => listener === 'tls' || listener === 'mutualTls' || listener === 'wss';

function listenerLines(
  listener: Listener,
  port: number,
  { certificates, show = 'server' }: MosquittoOptions,
): string[] {
  const lines = [`listener ${port} 127.0.0.1`];
  if (listener === 'ws' || listener === 'wss') lines.push('protocol websockets');
  if (isTls(listener)) {
    const { ca, [show]: shown } = required(certificates, listener);
    lines.push(`cafile ${ca.certFile}`, `certfile ${shown.certFile}`, `keyfile ${shown.keyFile}`);
  }
  if (listener === 'mutualTls') lines.push('require_certificate true');
  return lines;
}

function clientArguments(listener: Listener, port: number, certificates?: Certificates): string[] {
  if (!isTls(listener)) return ['-h', '127.0.0.1', '-p', String(port)];
  const { ca, client } = required(certificates, listener);
  const own = listener === 'mutualTls' ? ['--cert', client.certFile, '--key', client.keyFile] : [];
  return ['-h', 'localhost', '-p', String(port), '--cafile', ca.certFile, ...own];
}

function required(certificates: Certificates | undefined, listener: Listener): Certificates {
  if (certificates === undefined) throw new Error(`a ${listener} listener needs certificates`);
  return certificates;
}
