import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import { type App, buildApp } from '../app.ts';
import { compose } from '../compose.ts';
import { loadConfig } from '../config.ts';
import { once } from '../once.ts';
import type { Invocations } from './invocations.ts';
import type { KeeperDependencies } from './keeping.ts';

/** The bridge in a process of a function. */
export interface Instance extends KeeperDependencies {
  readonly app: App;
  close(): Promise<void>;
}

/** Resolves with the one instance of this process; whoever asks first has it made. */
export type GetInstance = () => Promise<Instance>;

/**
 * The instance of a process, made from the environment when it is first asked for. One that cannot be made is made anew
 * for the next invocation: the platform keeps the process.
 */
export function lazyInstance(
  variables: Readonly<Record<string, string | undefined>>,
  invocations: Invocations,
): GetInstance {
  let made: Promise<Instance> | null = null;
  return () => {
    made ??= makeInstance(variables, invocations).catch((error) => {
      made = null;
      throw error;
    });
    return made;
  };
}

async function makeInstance(
  variables: Readonly<Record<string, string | undefined>>,
  invocations: Invocations,
): Promise<Instance> {
  const config = loadConfig({ ...variables, BRIDGE_MODE: 'function' }, (path) => readFileSync(path, 'utf8'));
  const { mode, host, port, maxPayload, apiKey } = config;
  const log = pino({ level: config.logLevel });
  const { bridge, validateConnection, close } = await compose(config, log, () => invocations.ending());
  const ready = once(() => bridge.start());
  try {
    const app = await buildApp({
      bridge,
      validateConnection,
      maxPayload,
      apiKey,
      listen: { host, port },
      log,
      mode,
      reference: 'onDemand',
      ending: () => invocations.ending(),
      ready,
    });
    // Without being asked, but behind the request that waits for the app, which may be one that needs no store.
    setImmediate(ready);
    return { app, keeping: bridge, log, ready, close };
  } catch (error) {
    await close();
    throw error;
  }
}
