import { expect } from 'vitest';
import type { FlowReport, Traffic } from './kill-traffic.ts';
import { FAULTLESS } from './ledger.ts';

/** Ends the traffic, and expects that nothing acknowledged is missing, and so on. */
export async function expectFaultless(traffic: Traffic, within?: number): Promise<FlowReport[]> {
  const reports = await traffic.finish(within);
  for (const { name, verdict } of reports) expect(verdict, name).toEqual(FAULTLESS);
  expect(traffic.strange).toEqual([]);
  return reports;
}
