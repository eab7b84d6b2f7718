import type { Redis } from 'ioredis';
import type { RedisClient } from './client.ts';

type Settings = Readonly<Record<string, string | undefined>>;

/** What a setting should be, and what it means for the guarantees when it is not. */
const EXPECTATIONS: readonly { setting: string; fulfilled: (settings: Settings) => boolean; otherwise: string }[] = [
  {
    setting: 'appendonly',
    fulfilled: ({ appendonly }) => appendonly === 'yes',
    otherwise: 'a crash of Redis loses what was stored since its last snapshot; set appendonly to yes',
  },
  {
    setting: 'appendfsync',
    fulfilled: ({ appendonly, appendfsync }) => appendonly !== 'yes' || appendfsync === 'always',
    otherwise: 'a crash of Redis can lose the last second of acknowledged messages; set it to always to lose none',
  },
  {
    setting: 'maxmemory-policy',
    fulfilled: (settings) => settings['maxmemory-policy'] === 'noeviction',
    otherwise: 'Redis may throw away stored messages and leases when its memory is full; set it to noeviction',
  },
];

/**
 * Compares the settings of the Redis servers with what the guarantees need. Answers sentences for the log, one for
 * each finding; none when all is well. Never rejects.
 */
export async function checkSettings(client: RedisClient): Promise<string[]> {
  const findings = await Promise.all(client.masters().map(checkServer));
  return findings.flat();
}

async function checkServer(server: Redis): Promise<string[]> {
  const { host, port } = server.options;
  const name = server.options.sentinels ? `Redis (${server.options.name})` : `Redis at ${host}:${port}`;
  let settings: Settings;
  try {
    settings = await readSettings(server);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [
      `${name} does not tell its settings (${reason}): make sure yourself of appendonly yes, appendfsync and maxmemory-policy noeviction`,
    ];
  }
  return EXPECTATIONS.filter(({ fulfilled }) => !fulfilled(settings)).map(
    ({ setting, otherwise }) => `${name} has ${setting} ${settings[setting] ?? '(unknown)'}: ${otherwise}`,
  );
}

async function readSettings(server: Redis): Promise<Settings> {
  const reply = await server.config('GET', 'appendonly', 'appendfsync', 'maxmemory-policy');
  const flat = Array.isArray(reply) ? reply.map(String) : [];
  return Object.fromEntries(flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1]]] : [])));
}
