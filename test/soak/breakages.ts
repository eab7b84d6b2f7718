import { setTimeout as pause } from 'node:timers/promises';
import type { BridgeProcess } from '../helpers/bridge-process.ts';
import type { Random } from '../helpers/kill-random.ts';
import type { StoreUnderTest } from '../helpers/kill-stores.ts';
import type { Mosquitto } from '../helpers/mosquitto.ts';
import { choose } from './round.ts';

/** What a round runs on, and what may break. */
export interface Parts {
  readonly broker: Mosquitto;
  readonly store: StoreUnderTest;
  readonly bridge: BridgeProcess;
  readonly random: Random;
  /** What the broker logged in its lives before this one. */
  brokerLog: string;
}

export interface Breakage {
  /** How often, beside the others. */
  readonly weight: number;
  readonly needsRedis: boolean;
  /** Breaks something, and mends it. */
  happen(parts: Parts): Promise<void>;
}

/** Everything that nothing acknowledged may be lost by. */
export const BREAKAGES: Readonly<Record<string, Breakage>> = {
  'kill -9 of the bridge': {
    weight: 12,
    needsRedis: false,
    async happen({ bridge }) {
      await bridge.kill();
      await bridge.restart();
    },
  },
  'SIGTERM of the bridge': {
    weight: 2,
    needsRedis: false,
    async happen({ bridge }) {
      const { code, signal } = await bridge.stop();
      if (code !== 0) throw new Error(`the bridge ended with ${code ?? signal} after SIGTERM`);
      await bridge.restart();
    },
  },
  'SIGTERM of the broker': {
    weight: 2,
    needsRedis: false,
    async happen(parts) {
      await parts.broker.stop();
      parts.brokerLog += parts.broker.log();
      await pause(parts.random.between(0, 1_000));
      await parts.broker.start();
    },
  },
  'SIGSTOP of Redis': {
    weight: 2,
    needsRedis: true,
    async happen({ store, random }) {
      store.redis?.signal('SIGSTOP');
      await pause(random.between(100, 8_000));
      store.redis?.signal('SIGCONT');
    },
  },
  'kill -9 of Redis': {
    weight: 2,
    needsRedis: true,
    async happen({ store, random }) {
      await store.redis?.kill();
      await pause(random.between(0, 1_000));
      await store.redis?.start();
    },
  },
};

/** The name of one that can happen here. */
export function chooseBreakage({ store, random }: Pick<Parts, 'store' | 'random'>): string {
  const possible = Object.entries(BREAKAGES).filter(([, { needsRedis }]) => store.redis !== null || !needsRedis);
  return choose(Object.fromEntries(possible), random);
}
