import { setTimeout as pause } from 'node:timers/promises';
import { type Instance, LEASE_TTL_MS } from '../helpers/fleet.ts';
import { ownedBy, type Scene, views } from '../helpers/fleet-scene.ts';
import type { startStandalone } from '../helpers/fleet-stores.ts';
import type { Random } from '../helpers/kill-random.ts';

/** What a round runs on, and what may break. */
export interface FleetParts {
  readonly scene: Scene<Awaited<ReturnType<typeof startStandalone>>>;
  readonly random: Random;
  /** How often the broker may end a connection for another of ours: those of an instance that could not end them itself. */
  allowedTakeOvers: number;
}

export interface FleetBreakage {
  /** How often, beside the others. */
  readonly weight: number;
  /** Breaks something, and mends it. */
  happen(parts: FleetParts): Promise<void>;
}

/** Everything that nothing acknowledged may be lost by. */
export const FLEET_BREAKAGES: Readonly<Record<string, FleetBreakage>> = {
  'kill -9 of an instance': {
    weight: 6,
    async happen(parts) {
      const instance = anyOf(parts);
      await instance.kill();
      await aWhile(parts);
      await instance.start();
    },
  },
  'kill -9 of two instances': {
    weight: 2,
    async happen(parts) {
      const [one, other] = [anyOf(parts), anyOf(parts)];
      await Promise.all([one.kill(), other.kill()]);
      await aWhile(parts);
      await Promise.all([...new Set([one, other])].map((instance) => instance.start()));
    },
  },
  'SIGTERM of an instance': {
    weight: 4,
    async happen(parts) {
      const instance = anyOf(parts);
      const { code, signal } = await instance.stop();
      if (code !== 0) throw new Error(`${instance.nodeId} ended with ${code ?? signal} after SIGTERM`);
      await aWhile(parts);
      await instance.start();
    },
  },
  'SIGSTOP of an instance': {
    weight: 4,
    async happen(parts) {
      const instance = anyOf(parts);
      parts.allowedTakeOvers += ownedBy(await views(parts.scene.fleet), instance).length;
      instance.freeze();
      await aWhile(parts);
      instance.thaw();
    },
  },
  'an instance is cut off from Redis': {
    weight: 2,
    happen: (parts) => cutOff(parts, 'redis'),
  },
  'an instance is cut off from the broker': {
    weight: 2,
    happen: (parts) => cutOff(parts, 'broker'),
  },
  'kill -9 of Redis': {
    weight: 1,
    async happen(parts) {
      const { redis } = parts.scene.store;
      await redis.kill();
      await aWhile(parts);
      await redis.start();
    },
  },
};

async function cutOff(parts: FleetParts, from: 'redis' | 'broker'): Promise<void> {
  const wire = parts.scene.wiresOf(anyOf(parts))[from];
  // Packets that are dropped on the way to the broker would leave its end of the connection open: a take-over later.
  if (from === 'redis' && parts.random.chance(0.5)) wire.stall();
  else wire.cut();
  await aWhile(parts);
  wire.mend();
}

function anyOf({ scene, random }: FleetParts): Instance {
  const { instances } = scene.fleet;
  const instance = instances[random.between(0, instances.length)];
  if (instance === undefined) throw new Error('unreachable');
  return instance;
}

/** Often shorter than a lease, sometimes longer than two. */
async function aWhile({ random }: FleetParts): Promise<void> {
  const longest = random.chance(0.6) ? LEASE_TTL_MS : 2.5 * LEASE_TTL_MS;
  await pause(random.between(0, longest));
}
