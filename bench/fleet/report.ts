import { CONNECTIONS, PAYLOAD_BYTES } from '../load.ts';
import type { Plan } from '../options.ts';
import { formatTable } from '../table.ts';
import type { ForwardingFigures, ScalingFigures } from './figures.ts';
import type { Memory } from './memory.ts';
import { type Attached, LEASE_TTL_MS, type PopulationResult } from './population.ts';

export function reportForwarding(figures: readonly ForwardingFigures[], plan: Plan): string {
  const rows = figures.map((line) => [
    line.place === 'owner' ? 'at the owner' : 'at another instance',
    whole(line.requestsPerSecond),
    line.p50.toFixed(2),
    line.p99.toFixed(2),
    line.toOwner.toFixed(2),
    line.p50ToOwner.toFixed(2),
    milliseconds(line.ownerCpu),
    milliseconds(line.otherCpu),
    milliseconds(line.redisCpu),
  ]);
  const header = [
    '',
    'requests/s',
    'p50 ms',
    'p99 ms',
    '× owner',
    'p50 × owner',
    'CPU owner',
    'CPU other',
    'CPU Redis',
  ];
  return `Publish at QoS 1, two instances: ${conditions(plan)}; CPU in ms per 1,000 requests\n\n${formatTable(header, rows)}\n`;
}

export function reportScaling(figures: readonly ScalingFigures[], plan: Plan): string {
  const rows = figures.map((line) => [
    `${line.instances}, ${line.routing === 'any' ? 'at any' : 'each at its owner'}`,
    whole(line.requestsPerSecond),
    line.p50.toFixed(2),
    line.p99.toFixed(2),
    milliseconds(line.instancesCpu),
    milliseconds(line.instancesCpu / line.instances),
    milliseconds(line.redisCpu),
  ]);
  const header = ['instances', 'requests/s', 'p50 ms', 'p99 ms', 'CPU of all', 'CPU of each', 'CPU Redis'];
  return `Publish at QoS 1, ${CONNECTIONS} Connections spread over the instances: ${conditions(plan)}; CPU in ms per 1,000 requests\n\n${formatTable(header, rows)}\n`;
}

export function reportPopulation(result: PopulationResult): string {
  const { attached, known, memory } = result;
  const each = (what: keyof Memory, from: Memory, to: Memory, count: number) => kib((to[what] - from[what]) / count);
  const parked = known - attached;
  const memories = [
    ['empty', mib(memory.empty.rss), mib(memory.empty.objects), mib(memory.empty.redis)],
    [`${whole(attached)} attached`, mib(memory.attached.rss), mib(memory.attached.objects), mib(memory.attached.redis)],
    [`and ${whole(parked)} parked`, mib(memory.known.rss), mib(memory.known.objects), mib(memory.known.redis)],
    [
      'for each that is attached',
      each('rss', memory.empty, memory.attached, attached),
      each('objects', memory.empty, memory.attached, attached),
      each('redis', memory.empty, memory.attached, attached),
    ],
    [
      'for each that is parked',
      each('rss', memory.attached, memory.known, parked),
      each('objects', memory.attached, memory.known, parked),
      each('redis', memory.attached, memory.known, parked),
    ],
  ];
  const row = (what: string, { milliseconds: time, cpu }: Attached, more = '') => [
    what,
    (time / 1000).toFixed(1),
    cpu.toFixed(1),
    more,
  ];
  const gaps = `a client was gone for ${result.handedOver.gapP50.toFixed(0)} ms (p50), ${result.handedOver.gapMost.toFixed(0)} at most`;
  const times = [
    row('declared, by a PUT each', result.declared),
    row('after a restart with the same NODE_ID', result.restarted, 'from the start of the process'),
    row('fail-over', result.failedOver, `from SIGKILL, with a lease time of ${LEASE_TTL_MS / 1000} s`),
    row('hand-over', result.handedOver, `from SIGTERM; ${gaps}`),
  ];
  const memoryTable = formatTable(['Memory', 'RSS', 'objects and buffers', 'Redis'], memories);
  const timeTable = formatTable([`${whole(attached)} of ${whole(known)} attached`, 'after s', 'CPU s', ''], times);
  return `${memoryTable}\n\n${timeTable}\n`;
}

function conditions({ fleetRounds, measureMs }: Plan): string {
  return `${CONNECTIONS} callers, one request in flight each, ${PAYLOAD_BYTES}-byte payloads; medians of ${fleetRounds} rounds of ${measureMs / 1000} s`;
}

const whole = (value: number) => Math.round(value).toLocaleString('en');
const milliseconds = (seconds: number) => (seconds * 1000).toFixed(1);
const mib = (bytes: number) => `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
const kib = (bytes: number) => `${(bytes / 1024).toFixed(1)} KiB`;
