import { describe, expect, it } from 'vitest';
import { failOverUnderLoad } from '../helpers/fleet-fail-over.ts';
import { startReplicatedCluster } from '../helpers/fleet-stores.ts';
import { FAULTLESS } from '../helpers/ledger.ts';

describe('three instances on a replicated Cluster, whose primary is killed while messages flow in both directions', () => {
  it('with STORE_MIN_REPLICAS=1: lose nothing that was acknowledged', async () => {
    const { reports, strange, takeOvers } = await failOverUnderLoad(startReplicatedCluster, {
      minReplicas: 1,
      restarts: true,
    });
    for (const { name, verdict } of reports) expect(verdict, name).toEqual(FAULTLESS);
    expect(strange).toEqual([]);
    expect(takeOvers).toEqual([]);
  }, 90_000);
});
