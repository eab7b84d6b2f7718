import { z } from 'zod';
import { MAX_REMAINING_LENGTH } from '../mqtt/limits.ts';

const MIB = 1024 * 1024;
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
const MODES = ['gateway', 'function'] as const;
const SECRET_KEY_BYTES = 32;
const UNAVAILABLE = 'is not available in this version';

const wholeNumber = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, { error: `is not a whole number from ${min} to ${max}` })
    .transform(Number)
    .refine((value) => value >= min && value <= max, { error: `is not a whole number from ${min} to ${max}` });

const list = z.string().transform((text) => text.split(',').map((item) => item.trim()));
const unavailable = z.string().transform((_, context) => {
  context.addIssue(UNAVAILABLE);
  return z.NEVER;
});

const secretKeys = list.transform((items, context) =>
  items.map((item) => {
    const key = Buffer.from(item, 'base64');
    if (key.length !== SECRET_KEY_BYTES || !/^[A-Za-z0-9+/_-]+=?$/.test(item)) {
      context.addIssue(
        'is not base64 of 32 bytes (comma-separated for rotation); make one with: openssl rand -base64 32',
      );
      return z.NEVER;
    }
    return new Uint8Array(key);
  }),
);

/** Every variable by its name, from text. One that is absent or empty has its default. */
export const environment = z.object({
  HOST: z
    .string()
    .regex(/^[^\s/@]+$/, { error: 'is not a host name or address' })
    .default('127.0.0.1'),
  PORT: wholeNumber(0, 65_535).default(8080),
  STORE_URL: z
    .string()
    .regex(/^(sqlite:.|rediss?:\/\/.|redis\+(sentinel|cluster):\/\/.)/, {
      error:
        'is not one of sqlite:FILE, sqlite::memory:, redis://, rediss://, redis+sentinel://h1,h2/name, redis+cluster://h1,h2',
    })
    .default('sqlite:./data/bridge.db'),
  STORE_PREFIX: z
    .string()
    .regex(/^[\w.-]{1,64}$/, { error: 'is not 1 to 64 letters, digits, ".", "_" or "-"' })
    .default('bridge'),
  STORE_MIN_REPLICAS: wholeNumber(0, 100).default(0),
  MQTT_URL: z.string().optional(),
  BRIDGE_CONFIG: z.string().optional(),
  ALLOW_URLS: list.default([]),
  BRIDGE_API_KEY: z
    .string()
    .regex(/^[\x21-\x7e]+$/, { error: 'may hold only visible ASCII characters, because it travels in a header' })
    .optional(),
  BRIDGE_SECRET_KEY: secretKeys.optional(),
  NODE_ID: z
    .string()
    .regex(/^[\w.:-]{1,128}$/, { error: 'is not 1 to 128 letters, digits, ".", "_", ":" or "-"' })
    .optional(),
  LEASE_TTL_MS: wholeNumber(1000, 600_000).default(15_000),
  POOL_MAX: wholeNumber(1, 1_000_000).default(5_000),
  LOG_LEVEL: z.enum(LOG_LEVELS, { error: `is not one of ${LOG_LEVELS.join(', ')}` }).default('info'),
  MAX_PAYLOAD: wholeNumber(1, MAX_REMAINING_LENGTH).default(MIB),
  REQUIRE_TLS: z
    .enum(['true', 'false'], { error: 'is not true or false' })
    .default('false')
    .transform((text) => text === 'true'),
  TLS_CERT: z.string().optional(),
  TLS_KEY: z.string().optional(),
  BRIDGE_MODE: z.enum(MODES, { error: `is not one of ${MODES.join(', ')}` }).default('gateway'),
  ALLOW_WEBHOOKS: unavailable.optional(),
  MAX_STORE_BYTES: unavailable.optional(),
  CORS_ORIGINS: unavailable.optional(),
});

export type Environment = z.output<typeof environment>;
