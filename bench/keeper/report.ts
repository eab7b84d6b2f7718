import { formatTable } from '../table.ts';
import { CPU_SHARE, type KeeperCost, SESSIONS } from './cost.ts';
import type { DrainMeasured } from './drains.ts';

export function reportDrains(measured: DrainMeasured, drained: number): string {
  const rows = [
    ['from CONNECT to DISCONNECT, one at a time: p50, p99', `${ms(measured.p50)}, ${ms(measured.p99)}`],
    ['the same, as many as possible at once: p50', ms(measured.busyP50)],
    ['sessions drained a second by one instance', measured.perSecond.toFixed(0)],
    ['CPU of the instance, of Redis, for each session', `${ms(measured.cpu * 1000)}, ${ms(measured.redisCpu * 1000)}`],
    ['scripts that Redis ran for each session', measured.scripts.toFixed(1)],
    ['commands of Redis, those in scripts with them', measured.commands.toFixed(1)],
    ['CPU of an instance with nothing to drain, for each second', ms(measured.idleCpu * 1000)],
    ['scripts for it, each second', measured.idleScripts.toFixed(0)],
  ];
  return `Drains: ${drained} parked sessions, a message in each\n\n${formatTable(['', ''], rows)}\n`;
}

export function reportKeeperCosts(costs: readonly KeeperCost[]): string {
  const rows = costs.map((cost) => [
    String(cost.drainInterval),
    whole(cost.drainsPerSecond),
    String(cost.instances),
    cost.lateP99.toFixed(1),
    cost.caughtUp === null ? 'never' : whole(cost.caughtUp),
    cost.cores.toFixed(1),
    cost.redisCores.toFixed(2),
    whole(cost.scriptsPerSecond),
  ]);
  const header = [
    'drained every s',
    'drains/s',
    'instances',
    'late p99 s',
    'all due: done after s',
    'cores',
    'cores of Redis',
    'scripts/s',
  ];
  const conditions = `${whole(SESSIONS)} parked sessions, the keeper has ${CPU_SHARE} of each instance's core; simulated`;
  return `Keeper: ${conditions}\n\n${formatTable(header, rows)}\n`;
}

const whole = (value: number) => Math.round(value).toLocaleString('en');
const ms = (milliseconds: number) => `${milliseconds.toFixed(1)} ms`;
