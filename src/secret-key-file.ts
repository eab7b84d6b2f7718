import { randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';

const KEY_BYTES = 32;

/** The key that an earlier start left in the file, or a new one that is left there, readable by its owner only. */
export function loadOrCreateKey(path: string): { key: Uint8Array; created: boolean } {
  try {
    const key = Buffer.from(readFileSync(path, 'utf8').trim(), 'base64');
    if (key.length === KEY_BYTES) return { key, created: false };
  } catch (error) {
    if (!isMissing(error)) throw error;
    const key = randomBytes(KEY_BYTES);
    writeFileSync(path, `${key.toString('base64')}\n`, { mode: 0o600, flag: 'wx', flush: true });
    // The umask may have taken more away, but nothing may have been left for others.
    chmodSync(path, 0o600);
    return { key, created: true };
  }
  throw new Error(`${path} does not hold a key (base64 of ${KEY_BYTES} bytes); restore it, or set BRIDGE_SECRET_KEY.`);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
