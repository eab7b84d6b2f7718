import type { Environment } from './bridge-process.ts';
import { type PacketTap, startPacketTap } from './packet-tap.ts';
import { startWire, type Wire } from './wire.ts';

/** The network of one instance. */
export interface InstanceWires {
  readonly broker: PacketTap;
  readonly redis: Wire;
}

/** Wires of their own for the instances of a fleet. */
export interface FleetWires {
  of(nodeId: string): InstanceWires;
  /** For `startFleet`: what leads an instance over its wires. */
  env(nodeId: string): Environment;
  stop(): Promise<void>;
}

/** For `node-1` and so on, to servers that have an address each. */
export async function startFleetWires(brokerUrl: string, redisUrl: string, count = 3): Promise<FleetWires> {
  const wires = new Map<string, InstanceWires>();
  for (let number = 1; number <= count; number += 1) {
    const [broker, redis] = await Promise.all([startPacketTap(brokerUrl), startWire(redisUrl)]);
    wires.set(`node-${number}`, { broker, redis });
  }
  const of = (nodeId: string) => {
    const found = wires.get(nodeId);
    if (found === undefined) throw new Error(`${nodeId} has no wires`);
    return found;
  };
  return {
    of,
    env: (nodeId) => ({ MQTT_URL: of(nodeId).broker.url, STORE_URL: of(nodeId).redis.url }),
    async stop() {
      await Promise.all([...wires.values()].flatMap(({ broker, redis }) => [broker.stop(), redis.stop()]));
    },
  };
}
