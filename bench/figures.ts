import { BARE, type ColdStartResult, HEALTH } from './cold-start.ts';
import type { InboundMeasured, InboundResult } from './inbound.ts';
import type { Contestant, Measured, PublishResult } from './publish.ts';
import type { StoreName } from './servers.ts';
import { medianOf, ratio } from './statistics.ts';

/** One line of the publish comparison; a ratio is the median of the rounds' own, null where there is nothing to compare. */
export interface PublishFigures extends Measured {
  readonly contestant: Contestant;
  /** Requests/s in relation to (a), (b), and (d) at the same QoS. */
  readonly toBare: number;
  readonly toConnectPerRequest: number | null;
  readonly toWarm: number | null;
  /** CPU per request in relation to (d): steadier than requests/s when the machine is shared. */
  readonly cpuToWarm: number | null;
}

export interface InboundFigures extends InboundMeasured {
  readonly store: StoreName | null;
  readonly qos: 1 | 2;
  readonly connections: number;
  /** Messages/s in relation to receiving without storing, at the same QoS with as many connections. */
  readonly toReceiving: number;
  /** Of many connections, messages/s in relation to one; null of one. */
  readonly toOneConnection: number | null;
}

/** One line of the comparison of cold starts, in relation to the bare function with the same compile cache, or none. */
export interface ColdStartFigures {
  readonly what: string;
  readonly compileCache: boolean;
  /** From the start of the process. */
  readonly milliseconds: number;
  readonly cpuMilliseconds: number;
  readonly toBare: number;
}

export interface Target {
  readonly what: string;
  /** The bound is a lower one, unless it is said to be an upper one. */
  readonly bound: number;
  readonly isUpper?: boolean;
  readonly measured: number;
}

export function publishFigures(results: readonly PublishResult[]): PublishFigures[] {
  const bare = find(results, ({ kind }) => kind === 'bare');
  const connectPerRequest = find(results, ({ kind }) => kind === 'connectPerRequest');
  return results.map(({ contestant, rounds }) => {
    const qos = qosOf(contestant);
    const warm = find(results, (other) => other.kind === 'warm' && other.qos === qos);
    const requests = ({ requestsPerSecond }: Measured) => requestsPerSecond;
    return {
      contestant,
      requestsPerSecond: medianOf(rounds, requests),
      p50: medianOf(rounds, ({ p50 }) => p50),
      p99: medianOf(rounds, ({ p99 }) => p99),
      cpuPer1000: medianOf(rounds, ({ cpuPer1000 }) => cpuPer1000),
      toBare: ratio(rounds, bare, requests),
      toConnectPerRequest: qos === 1 ? ratio(rounds, connectPerRequest, requests) : null,
      toWarm: qos === null ? null : ratio(rounds, warm, requests),
      cpuToWarm: qos === null ? null : ratio(rounds, warm, ({ cpuPer1000 }) => cpuPer1000),
    };
  });
}

export function coldStartFigures(results: readonly ColdStartResult[]): ColdStartFigures[] {
  return results.map(({ what, compileCache, rounds }) => {
    const bare = results.find((other) => other.what === BARE && other.compileCache === compileCache)?.rounds ?? [];
    return {
      what,
      compileCache,
      milliseconds: medianOf(rounds, ({ milliseconds }) => milliseconds),
      cpuMilliseconds: medianOf(rounds, ({ cpuMilliseconds }) => cpuMilliseconds),
      toBare: ratio(rounds, bare, ({ milliseconds }) => milliseconds),
    };
  });
}

export function inboundFigures(results: readonly InboundResult[]): InboundFigures[] {
  const messages = ({ messagesPerSecond }: InboundMeasured) => messagesPerSecond;
  return results.map(({ store, qos, connections, rounds }) => {
    const roundsOf = (otherStore: StoreName | null, otherConnections: number) =>
      results.find((other) => other.store === otherStore && other.qos === qos && other.connections === otherConnections)
        ?.rounds ?? [];
    return {
      store,
      qos,
      connections,
      messagesPerSecond: medianOf(rounds, messages),
      cpuPer1000: medianOf(rounds, ({ cpuPer1000 }) => cpuPer1000),
      toReceiving: ratio(rounds, roundsOf(null, connections), messages),
      toOneConnection: connections === 1 ? null : ratio(rounds, roundsOf(store, 1), messages),
    };
  });
}

/** What this release is to reach, on every store; issues that ask for more raise it here. */
export function targets(
  publish: readonly PublishFigures[],
  inbound: readonly InboundFigures[],
  coldStarts: readonly ColdStartFigures[],
): Target[] {
  const outbound = publish.flatMap(({ contestant, toWarm, toConnectPerRequest }) => {
    if (contestant.kind !== 'bridge' || contestant.qos !== 1) return [];
    const what = `publish at QoS 1, ${contestant.store}`;
    return [
      { what: `${what}, to (d)`, bound: 0.8, measured: toWarm ?? Number.NaN },
      { what: `${what}, to (b)`, bound: 4, measured: toConnectPerRequest ?? Number.NaN },
    ];
  });
  const incoming = inbound.flatMap(({ store, qos, connections, toReceiving }) => {
    if (store === null || qos !== 1) return [];
    const what = `inbound at QoS 1, ${store}`;
    if (connections === 1)
      return [{ what: `${what}, to receiving without storing`, bound: 0.7, measured: toReceiving }];
    // The broker sends to many more slowly than to one, to whomever: what is left is the bridge's part.
    const alone = inbound.find((other) => other.store === store && other.qos === qos && other.connections === 1);
    const measured = toReceiving / (alone?.toReceiving ?? Number.NaN);
    return [{ what: `${what}, ${connections} connections to one, each to receiving`, bound: 1, measured }];
  });
  const starts = coldStarts.flatMap(({ what, compileCache, toBare }) =>
    what !== HEALTH || compileCache
      ? []
      : [{ what: `cold start, ${what}`, bound: 1.5, isUpper: true, measured: toBare }],
  );
  return [...outbound, ...incoming, ...starts];
}

export function qosOf(contestant: Contestant): 0 | 1 | 2 | null {
  return contestant.kind === 'bare' ? null : contestant.qos;
}

function find(results: readonly PublishResult[], matches: (contestant: Contestant) => boolean): readonly Measured[] {
  return results.find(({ contestant }) => matches(contestant))?.rounds ?? [];
}
