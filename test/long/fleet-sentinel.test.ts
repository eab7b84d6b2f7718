import { describe, expect, it } from 'vitest';
import { failOverUnderLoad } from '../helpers/fleet-fail-over.ts';
import { startSentinelTrio } from '../helpers/fleet-stores.ts';

describe('three instances on a Sentinel trio, whose primary is killed while messages flow in both directions', () => {
  it('recover without help; what is lost was not replicated yet', async () => {
    const { strange, takeOvers, unexplained } = await failOverUnderLoad(startSentinelTrio, {
      minReplicas: 0,
      restarts: false,
    });
    expect(unexplained).toEqual([]);
    expect(strange).toEqual([]);
    expect(takeOvers).toEqual([]);
  }, 90_000);
});
