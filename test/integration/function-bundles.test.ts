import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleFunction, type Outputs } from '../../scripts/bundle-function.ts';
import { type Mosquitto, startMosquitto } from '../helpers/mosquitto.ts';
import { startProcess } from '../helpers/process.ts';
import { type RedisServer, startRedis } from '../helpers/redis.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';

const MAX_BYTES = 2 * 1024 * 1024;
const INVOKE = join(import.meta.dirname, '../../bench/servers/invoke-lambda.cjs');

describe.each(['aws', 'google-cloud', 'azure'])('the bundle for %s', (platform) => {
  // Outside of the project: there is no node_modules above it.
  const folder = temporaryDirectory(platform);
  let outputs: Outputs;
  let broker: Mosquitto;
  let redis: RedisServer;

  beforeAll(async () => {
    [outputs, broker, redis] = await Promise.all([
      bundleFunction(`src/functions/${platform}.ts`, folder),
      startMosquitto(),
      startRedis(),
    ]);
  });
  afterAll(() => Promise.all([broker.stop(), redis.stop()]));

  const environment = () => ({
    STORE_URL: redis.url,
    MQTT_URL: broker.url,
    BRIDGE_SECRET_KEY: Buffer.alloc(32, 1).toString('base64'),
    NODE_COMPILE_CACHE: temporaryDirectory('compile-cache'),
    LOG_LEVEL: 'error',
  });
  const outputNamed = (file: string) => Object.keys(outputs).find((path) => path.endsWith(`/${file}`)) ?? file;
  const isOfMain = (path: string) => !/\/(redis|broker|yaml)\.cjs$/.test(path);
  const inputsOf = (path: string) => Object.keys(outputs[path]?.inputs ?? {});
  /** The files that are read when this one is. */
  const readWith = (path: string): string[] => {
    const imported = (outputs[path]?.imports ?? []).filter(
      ({ kind, external }) => kind === 'import-statement' && !external,
    );
    return [path, ...imported.flatMap((file) => readWith(file.path))];
  };

  it('is small', () => {
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) =>
      statSync(join(folder, name)),
    );
    const bytes = files.reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
    expect(bytes).toBeGreaterThan(0.5 * MAX_BYTES);
    expect(bytes).toBeLessThanOrEqual(MAX_BYTES);
  });

  it('has nothing that a function never reaches', () => {
    const inputs = Object.values(outputs).flatMap((output) => Object.keys(output.inputs));
    for (const absent of [
      /node_modules\/(aedes|@scalar|@infisical|ajv|socks|prom-client|@google-cloud)\b/,
      /src\/(store\/sqlite|dev-broker|server)/,
      /zod\/v4\/locales\/(?!en\.js)/,
    ]) {
      expect(inputs.filter((input) => absent.test(input) && !input.startsWith('absent:'))).toEqual([]);
    }
  });

  it('loads what speaks to Redis and to brokers, and what reads YAML, when it is needed', () => {
    const packages = (inputs: readonly string[]) =>
      ['ioredis', 'mqtt', 'mqtt-packet', 'ws', 'yaml'].filter((name) =>
        inputs.some((input) => input.startsWith(`node_modules/${name}/`)),
      );
    expect(packages(Object.keys(outputs).filter(isOfMain).flatMap(inputsOf))).toEqual([]);
    expect(packages(inputsOf(outputNamed('redis.cjs')))).toEqual(['ioredis']);
    expect(packages(inputsOf(outputNamed('broker.cjs')))).toEqual(['mqtt', 'mqtt-packet', 'ws']);
    expect(packages(inputsOf(outputNamed('yaml.cjs')))).toEqual(['yaml']);
  });

  it('reads no more at once than answering without a store needs', () => {
    const atOnce = readWith(outputNamed('bridge.cjs')).flatMap(inputsOf);
    expect(atOnce).toEqual(expect.arrayContaining(['src/app.ts', 'src/routes/health.ts']));
    const later =
      /^(src\/(bridge\/(bridge|pool)|store\/redis\/index|plugins\/openapi)\.ts|node_modules\/@fastify\/swagger\/)/;
    expect(atOnce.filter((input) => later.test(input))).toEqual([]);
  });

  it('loads in a folder of its own', async () => {
    const script = `console.log('exports:', Object.keys(require('./index.cjs')).sort().join()); process.exit();`;
    const child = await startProcess(process.execPath, ['-e', script], { cwd: folder, env: environment() });
    expect(await child.exited).toEqual({ code: 0, signal: null });
    const exported = { aws: 'handler,keeper,streaming', 'google-cloud': 'bridge,keeper', azure: '' };
    expect(child.stdout()).toContain(`exports: ${exported[platform as keyof typeof exported]}\n`);
  });

  if (platform !== 'aws') return;
  it.each(['/healthz', '/openapi.json', '/v1/connections', '/readyz'])(
    'answers %s in a fresh process',
    async (path) => {
      const child = await startProcess(process.execPath, [INVOKE, folder, path], { cwd: folder, env: environment() });
      expect([await child.exited, child.stderr()]).toEqual([{ code: 0, signal: null }, '']);
    },
  );
});
