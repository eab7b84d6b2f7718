/**
 * Loaded before a bridge (`--import`): its wall clock is off by what the file CLOCK_OFFSETS says of its NODE_ID, in
 * milliseconds; see `startClocks`. The monotonic clock, and timers with it, goes on as it is.
 */
import { readFileSync } from 'node:fs';

const INTERVAL_MS = 10;
const { CLOCK_OFFSETS = '', NODE_ID = '' } = process.env;
const TrueDate = globalThis.Date;
let offset = 0;

setInterval(() => {
  const offsets = JSON.parse(readFileSync(CLOCK_OFFSETS, 'utf8')) as Record<string, number>;
  offset = offsets[NODE_ID] ?? 0;
}, INTERVAL_MS).unref();

const now = () => TrueDate.now() + offset;

globalThis.Date = new Proxy(TrueDate, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  get: (target, name, receiver) => (name === 'now' ? now : Reflect.get(target, name, receiver)),
});
