import type { Mosquitto } from './mosquitto.ts';

/**
 * What Mosquitto says about the network connection of a client. `disconnected` is one that sent DISCONNECT, `lost` one
 * that did not; `takenOver` is one that another connection with the same ClientID ended, which follows as `connected`.
 */
export interface BrokerEvent {
  readonly kind: 'connected' | 'disconnected' | 'lost' | 'takenOver';
  readonly clientId: string;
  /** Milliseconds, on the clock of `performance.now()`: when the line of the log arrived here. */
  readonly at: number;
}

/** Who was connected when, by the broker's own account. */
export interface BrokerLog {
  readonly events: readonly BrokerEvent[];
  /** Those of a client, of one kind when it is said. */
  of(clientId: string, kind?: BrokerEvent['kind']): BrokerEvent[];
  /** ClientIDs of which a second connection ended a first one since `since`, once for each time. */
  takeOvers(since?: number): string[];
  /** Of the clients that count, how many were connected at most at the same time, since `since`. */
  mostAttached(counts: (clientId: string) => boolean, since?: number): number;
  /** And the most that were not connected, of those that had been before. */
  mostDetached(counts: (clientId: string) => boolean, since?: number): number;
}

/** Lines of mosquitto.conf for a log of what `followBroker` reads, and not of each packet: that costs the broker time. */
export const CONNECTIONS_ONLY = ['none', 'error', 'warning', 'notice', 'information'].map((type) => `log_type ${type}`);

const PATTERNS: readonly (readonly [BrokerEvent['kind'], RegExp])[] = [
  ['connected', /^New client connected from \S+ as (\S+) \(p\d/],
  ['takenOver', /^Client (\S+) already connected, closing old connection/],
  ['disconnected', /^Client (\S+) disconnected\.$/],
  ['lost', /^Client (\S+) (?:closed its connection|has exceeded timeout|disconnected due to|disconnected: )/],
];

/** Reads the log of a broker from now on, through all its lives. */
export function followBroker(broker: Pick<Mosquitto, 'onLog'>): BrokerLog {
  const events: BrokerEvent[] = [];
  let rest = '';
  broker.onLog((text) => {
    const at = performance.now();
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const event = read(line, at);
      if (event !== null) events.push(event);
    }
  });
  return {
    events,
    of: (clientId, kind) =>
      events.filter((event) => event.clientId === clientId && (kind === undefined || event.kind === kind)),
    takeOvers: (since = 0) =>
      events.filter(({ kind, at }) => kind === 'takenOver' && at >= since).map(({ clientId }) => clientId),
    mostAttached: (counts, since = 0) => most(events, counts, since, (attached) => attached.size),
    mostDetached: (counts, since = 0) => most(events, counts, since, (attached, known) => known.size - attached.size),
  };
}

function read(line: string, at: number): BrokerEvent | null {
  for (const [kind, pattern] of PATTERNS) {
    const clientId = line.match(pattern)?.[1];
    if (clientId !== undefined) return { kind, clientId, at };
  }
  return null;
}

function most(
  events: readonly BrokerEvent[],
  counts: (clientId: string) => boolean,
  since: number,
  size: (attached: ReadonlySet<string>, known: ReadonlySet<string>) => number,
): number {
  const attached = new Set<string>();
  const known = new Set<string>();
  let highest = 0;
  for (const { kind, clientId, at } of events) {
    if (!counts(clientId)) continue;
    if (kind === 'connected') {
      attached.add(clientId);
      known.add(clientId);
    } else if (kind !== 'takenOver') attached.delete(clientId);
    if (at >= since) highest = Math.max(highest, size(attached, known));
  }
  return highest;
}
