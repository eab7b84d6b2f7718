import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { pino } from 'pino';
import { type App, buildApp } from './app.ts';
import { type Composition, compose } from './compose.ts';
import { printConfig } from './config/print.ts';
import { type Config, ConfigError, loadConfig } from './config.ts';
import { greeting } from './greeting.ts';

/** sysexits.h's EX_CONFIG: starting again without a change cannot help. */
const EXIT_CONFIG = 78;
const EXIT_FAILURE = 1;
/** Milliseconds after a signal: when requests under way are cut off, and when the process ends whatever happens. */
const REQUESTS_DEADLINE = 4_000;
const EXIT_DEADLINE = 9_500;
/** By when Connections leave one after the other: then all that are left leave together, and that may take five seconds. */
const LEAVE_DEADLINE = 4_500;
/** And how long it still takes requests, so that load balancers and callers notice that it leaves. */
const LEAVING_MS = 300;

/** The gateway process: configuration, listen, signals. */
async function main(args: readonly string[]): Promise<void> {
  const unknown = args.find((argument) => argument !== '--print-config');
  if (unknown !== undefined) return fail(EXIT_CONFIG, [`${unknown} is not an option; there is only --print-config.`]);

  let config: Config;
  try {
    config = loadConfig(process.env, (path) => readFileSync(path, 'utf8'));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return fail(EXIT_CONFIG, error.faults);
  }
  if (args.length > 0) {
    process.stdout.write(`${printConfig(config)}\n`);
    return;
  }

  const log = pino({ level: config.logLevel });
  try {
    const composition = await compose(config, log);
    await serve(config, composition, log);
  } catch (error) {
    log.debug({ err: error }, 'start failed');
    fail(EXIT_FAILURE, [error instanceof Error ? error.message : String(error)]);
  }
}

async function serve(config: Config, composition: Composition, log: pino.Logger): Promise<void> {
  const { mode, host, port, maxPayload, apiKey } = config;
  const { bridge, validateConnection } = composition;
  let stopping = false;
  const isLeaving = () => stopping;
  try {
    const tls = config.tls && {
      cert: readPem('TLS_CERT', config.tls.certFile),
      key: readPem('TLS_KEY', config.tls.keyFile),
    };
    const listen = { host, port };
    const parts = { mode, bridge, validateConnection, maxPayload, apiKey, listen, log, tls, isLeaving };
    const app = await buildApp(parts);
    stopOnSignals(app, composition, log, () => {
      stopping = true;
    });
    await bridge.start();
    await app.listen({ host, port, listenTextResolver: () => 'listening' });
    const { port: actual } = app.server.address() as AddressInfo;
    process.stdout.write(greeting({ ...config, port: actual, devBroker: composition.devBroker }));
  } catch (error) {
    if (stopping) return;
    await composition.close();
    throw startError(error, config);
  }
}

function readPem(variable: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new Error(`${variable} names a file that cannot be read: ${path}.`, { cause });
  }
}

/** Signals that come again change nothing: `npm start` passes on a Ctrl-C that came to us too. */
function stopOnSignals(app: App, composition: Composition, log: pino.Logger, onStop: () => void): void {
  let stopping = false;
  const stop = async (code: number) => {
    if (stopping) return;
    stopping = true;
    const stoppedAt = performance.now();
    onStop();
    setTimeout(() => {
      log.warn({}, 'a broker or the store did not answer in time; stopped without it');
      process.exit(code);
    }, EXIT_DEADLINE).unref();
    setTimeout(() => app.server.closeAllConnections(), REQUESTS_DEADLINE).unref();
    try {
      // Whoever was sent here before it was known is served: a closed socket would only be reset.
      if (app.server.listening) await pause(LEAVING_MS);
      await app.close();
      await composition.close(Math.max(0, LEAVE_DEADLINE - (performance.now() - stoppedAt)));
    } catch (error) {
      log.error({ err: error }, 'stopping failed');
      code ||= EXIT_FAILURE;
    }
    process.exit(code);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      log.info({ signal }, 'stopping');
      void stop(0);
    });
  }
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error) => {
      log.fatal({ err: error }, event);
      void stop(EXIT_FAILURE);
    });
  }
}

function startError(error: unknown, { host, port }: Config): Error {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === 'EADDRINUSE') {
    return new Error(`Another program listens on ${host}:${port}: stop it, or set PORT to another one.`, {
      cause: error,
    });
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new Error(`HOST is ${host}, which is not an address of this machine.`, { cause: error });
  }
  return error instanceof Error ? error : new Error(String(error));
}

/** Says why there is no start: sentences, no stack. */
function fail(code: number, sentences: readonly string[]): void {
  process.stderr.write(`The bridge does not start.\n${sentences.map((sentence) => `- ${sentence}\n`).join('')}`);
  process.exitCode = code;
}

await main(process.argv.slice(2));
