import { describe, expect, it } from 'vitest';
import { failOverUnderLoad } from '../helpers/fleet-fail-over.ts';
import { startReplicatedCluster, startSentinelTrio } from '../helpers/fleet-stores.ts';
import { FAULTLESS } from '../helpers/ledger.ts';

const PATIENCE = 90_000;

/** What `fleet-cluster` and `fleet-sentinel` leave out. */
describe('three instances whose primary of Redis is killed while messages flow in both directions', () => {
  it('a Cluster: recover without help; what is lost was not replicated yet', { timeout: PATIENCE }, async () => {
    const how = { minReplicas: 0, restarts: false };
    const { strange, takeOvers, unexplained } = await failOverUnderLoad(startReplicatedCluster, how);
    expect([unexplained, strange, takeOvers]).toEqual([[], [], []]);
  });

  it('a Sentinel trio, STORE_MIN_REPLICAS=1: lose nothing that was acknowledged', { timeout: PATIENCE }, async () => {
    const how = { minReplicas: 1, restarts: false };
    const { reports, strange, takeOvers } = await failOverUnderLoad(startSentinelTrio, how);
    for (const { name, verdict } of reports) expect(verdict, name).toEqual(FAULTLESS);
    expect([strange, takeOvers]).toEqual([[], []]);
  });
});
