import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { bundleFunction } from '../scripts/bundle-function.ts';
import { startProcess } from '../test/helpers/process.ts';
import { startRedis } from '../test/helpers/redis.ts';
import { temporaryDirectory } from '../test/helpers/temporary.ts';
import type { Options } from './options.ts';
import { withResources } from './resources.ts';

/** What one process took from its start to its first answer. */
export interface ColdStart {
  readonly milliseconds: number;
  readonly cpuMilliseconds: number;
}

export interface ColdStartResult {
  readonly what: string;
  /** Whether V8's compile cache of an earlier process was there. */
  readonly compileCache: boolean;
  readonly rounds: readonly ColdStart[];
}

export const BARE = 'bare Fastify function';
export const HEALTH = 'bridge, GET /healthz';
const STORE = 'bridge, a read from Redis';

const INVOKE = join(import.meta.dirname, 'servers/invoke-lambda.cjs');

/** The AWS bundle beside a bare Fastify function that is bundled the same way, in fresh processes, in turn. */
export function compareColdStarts(
  { plan }: Options,
  progress: (text: string) => void,
): Promise<readonly ColdStartResult[]> {
  return withResources(async (own) => {
    const redis = own(await startRedis());
    const environment = {
      STORE_URL: redis.url,
      BRIDGE_SECRET_KEY: randomBytes(32).toString('base64'),
      MQTT_URL: 'mqtt://127.0.0.1:1',
      LOG_LEVEL: 'error',
    };
    const [bare, bridge] = [temporaryDirectory('bare'), temporaryDirectory('bridge')];
    await bundleFunction('bench/servers/bare-lambda.ts', bare, []);
    await bundleFunction('src/functions/aws.ts', bridge);

    const entries = [
      { what: BARE, folder: bare, path: '/healthz' },
      { what: HEALTH, folder: bridge, path: '/healthz' },
      { what: STORE, folder: bridge, path: '/v1/connections' },
    ].flatMap((entry) =>
      [false, true].map((compileCache) => ({
        ...entry,
        compileCache,
        kept: compileCache ? temporaryDirectory('compile-cache') : null,
        rounds: [] as ColdStart[],
      })),
    );
    // The first round is not counted: it fills the compile caches.
    for (let round = 0; round <= plan.coldStarts; round += 1) {
      progress(round === 0 ? 'cold start: warm-up' : `cold start: round ${round} of ${plan.coldStarts}`);
      for (const { folder, path, kept, rounds } of round % 2 === 1 ? entries : entries.toReversed()) {
        const env = { ...environment, NODE_COMPILE_CACHE: kept ?? temporaryDirectory('compile-cache') };
        const process = await startProcess(globalThis.process.execPath, [INVOKE, folder, path], { env });
        const { code } = await process.exited;
        if (code !== 0) throw new Error(`the function failed:\n${process.output()}`);
        if (round > 0) rounds.push(JSON.parse(process.stdout()));
      }
    }
    return entries.map(({ what, compileCache, rounds }) => ({ what, compileCache, rounds }));
  });
}
