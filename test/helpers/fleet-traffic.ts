import type { Instance } from './fleet.ts';
import { ownedBy, ownerOf, type Scene, untilSettled } from './fleet-scene.ts';
import { startTraffic, type Traffic, type TrafficOptions } from './kill-traffic.ts';

/** Traffic through any of the instances, with callers of every kind, at a pace that leaves a small machine room. */
export function startFleetTraffic({ broker, fleet }: Pick<Scene, 'broker' | 'fleet'>, id?: string): Promise<Traffic> {
  const options: TrafficOptions = { rest: 20, withKeys: true, consumes: true };
  return startTraffic(broker, fleet, id === undefined ? options : { ...options, id });
}

/** Waits for so many messages each way, and until the instances have settled; answers the owner, and all that it owns. */
export async function settledOwner(
  scene: Scene,
  traffic: Traffic,
  { id, enough }: { readonly id: string; readonly enough: number },
): Promise<{ owner: Instance; owned: string[] }> {
  await traffic.flows(enough);
  const all = await untilSettled(scene);
  const owner = await ownerOf(scene, id);
  return { owner, owned: ownedBy(all, owner) };
}
