/** What the contract has and this release does not: refused, so that nobody relies on it. A row goes when it works. */
import { type ConnectionContext, type ConnectionPart, type ConnectionRule, versionOf } from './rule.ts';

interface NotYet {
  readonly pointer: string;
  readonly what: string;
  /** Other members by which `asked` judges. */
  readonly basis?: readonly string[];
  readonly asked: (part: ConnectionPart, context: ConnectionContext) => boolean;
}

const NOT_YET: readonly NotYet[] = [
  {
    pointer: '/hold',
    what: '`hold` "onDemand"',
    basis: ['/hold'],
    asked: (part, { defaultHold }) => (part.hold ?? defaultHold) === 'onDemand',
  },
  { pointer: '/onTakeover', what: '`onTakeover` "reclaim"', asked: (part) => part.onTakeover === 'reclaim' },
  { pointer: '/idleTtl', what: '`idleTtl`', asked: (part) => typeof part.idleTtl === 'number' },
  { pointer: '/queue/overflow', what: '`overflow` "hold"', asked: (part) => part.queue?.overflow === 'hold' },
  {
    pointer: '/properties/authenticationMethod',
    what: 'Extended authentication (Authentication Method)',
    asked: (part) => part.properties?.authenticationMethod !== undefined,
  },
  {
    pointer: '/properties/authenticationData',
    what: 'Extended authentication (Authentication Data)',
    asked: (part) => part.properties?.authenticationData !== undefined,
  },
  {
    pointer: '/password',
    what: 'A password without a user name, though MQTT 5.0 allows it,',
    basis: ['/username', '/protocolVersion'],
    asked: (part) => versionOf(part) === '5.0' && part.password !== undefined && part.username === undefined,
  },
];

export const notYetRules: ConnectionRule = (part, context, report) => {
  for (const { pointer, what, basis, asked } of NOT_YET) {
    if (!asked(part, context)) continue;
    report.fault({ pointer, detail: `${what} is not available in this release of the bridge.` }, basis);
  }
};
