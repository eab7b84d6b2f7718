import { cpus } from 'node:os';
import { type ColdStartFigures, type InboundFigures, type PublishFigures, qosOf, type Target } from './figures.ts';
import { CONNECTIONS, PAYLOAD_BYTES } from './load.ts';
import type { Plan } from './options.ts';
import type { Contestant } from './publish.ts';
import { formatTable } from './table.ts';

export function describeMachine(): string {
  return `${cpus().length} cores, Node ${process.versions.node}, ${process.platform}`;
}

export function reportPublish(figures: readonly PublishFigures[], plan: Plan): string {
  const rows = figures.map((line) => [
    nameOf(line.contestant),
    String(qosOf(line.contestant) ?? '–'),
    whole(line.requestsPerSecond),
    line.p50.toFixed(2),
    line.p99.toFixed(2),
    milliseconds(line.cpuPer1000),
    times(line.toBare),
    times(line.toConnectPerRequest),
    times(line.toWarm),
    times(line.cpuToWarm),
  ]);
  const header = ['', 'QoS', 'requests/s', 'p50 ms', 'p99 ms', 'CPU ms/1,000', '× (a)', '× (b)', '× (d)', 'CPU × (d)'];
  const conditions = `${CONNECTIONS} connections, one request in flight each, ${PAYLOAD_BYTES}-byte payloads; medians of ${plan.publishRounds} rounds of ${plan.measureMs / 1000} s`;
  return `Publish: ${conditions}\n\n${formatTable(header, rows)}\n`;
}

export function reportInbound(figures: readonly InboundFigures[], plan: Plan): string {
  const rows = figures.map((line) => [
    line.store === null ? 'MQTT.js, receiving without storing' : `bridge, ${line.store}: stored, then acknowledged`,
    String(line.qos),
    String(line.connections),
    whole(line.messagesPerSecond),
    milliseconds(line.cpuPer1000),
    times(line.toReceiving),
    times(line.toOneConnection),
  ]);
  const header = ['', 'QoS', 'connections', 'messages/s', 'CPU ms/1,000', '× receiving', '× one connection'];
  const { 1: atQos1, 2: atQos2 } = plan.inboundMessages;
  const backlog = `a backlog of ${whole(atQos1)} messages of ${PAYLOAD_BYTES} bytes (QoS 2: ${whole(atQos2)})`;
  const conditions = `${backlog}, divided among the connections; medians of ${plan.inboundRounds} rounds`;
  return `Inbound: ${conditions}\n\n${formatTable(header, rows)}\n`;
}

export function reportColdStarts(figures: readonly ColdStartFigures[], plan: Plan): string {
  const rows = figures.map(({ what, compileCache, milliseconds, cpuMilliseconds, toBare }) => [
    what,
    compileCache ? 'kept' : 'none',
    milliseconds.toFixed(0),
    cpuMilliseconds.toFixed(0),
    times(toBare),
  ]);
  const header = ['', 'compile cache', 'ms', 'CPU ms', '× bare'];
  const conditions = `from the start of a process to its first answer; medians of ${plan.coldStarts} processes each`;
  return `Cold start: ${conditions}\n\n${formatTable(header, rows)}\n`;
}

export function reportTargets(targets: readonly Target[]): string {
  const rows = targets.map(({ what, bound, isUpper = false, measured }) => [
    what,
    measured.toFixed(2),
    `${isUpper ? '≤' : '≥'} ${bound}`,
    (isUpper ? measured <= bound : measured >= bound) ? 'reached' : 'missed',
  ]);
  return `${formatTable(['Targets', 'ratio', '', ''], rows)}\n`;
}

function nameOf(contestant: Contestant): string {
  switch (contestant.kind) {
    case 'bare':
      return '(a) bare Fastify + zod, no MQTT';
    case 'connectPerRequest':
      return '(b) connect, publish, disconnect per request';
    case 'warm':
      return '(d) minimal warm server';
    case 'bridge':
      return `(c) bridge, ${contestant.store}`;
  }
}

const whole = (value: number) => Math.round(value).toLocaleString('en');
const milliseconds = (seconds: number) => (seconds * 1000).toFixed(1);
const times = (ratio: number | null) => (ratio === null ? '' : ratio.toFixed(2));
