/** The validation of a Connection's document: shapes by zod, and what MQTT says across its members by the rules. */
import { Problem } from '../errors/problem.ts';
import { SESSION_NEVER_EXPIRES } from '../mqtt/limits.ts';
import {
  type ConnectionInput,
  type ConnectionParameters,
  connectionParameters,
  type ParsedConnection,
} from './connection.ts';
import type { Warning } from './connection-view.ts';
import { type Sound, soundParts, structuralFaults } from './faults.ts';
import { Report } from './report.ts';
import { asksForQuic, brokerRules, DEFAULT_BROKER } from './rules/broker.ts';
import { connectPropertyRules } from './rules/connect-properties.ts';
import { credentialRules } from './rules/credentials.ts';
import { identityRules } from './rules/identity.ts';
import { networkRules } from './rules/network.ts';
import { notYetRules } from './rules/not-yet.ts';
import { packetSizeRules } from './rules/packet-size.ts';
import type { ConnectionContext, ConnectionRule } from './rules/rule.ts';
import { sessionRules } from './rules/session.ts';
import { subscriptionRules } from './rules/subscriptions.ts';
import { willRules } from './rules/will.ts';
import { ownSentence } from './sentences.ts';

export type { ConnectionContext } from './rules/rule.ts';

const RULES: readonly ConnectionRule[] = [
  brokerRules,
  identityRules,
  credentialRules,
  sessionRules,
  willRules,
  connectPropertyRules,
  packetSizeRules,
  networkRules,
  subscriptionRules,
  notYetRules,
];

/**
 * A whole document with its defaults resolved, and what its author should know. Throws `invalid-request` with every
 * fault there is; `not-available-here` for a document that is valid but needs QUIC where its package is missing.
 * Validating the result again changes nothing.
 */
export function validateConnection(
  input: unknown,
  context: ConnectionContext,
): { parameters: ConnectionParameters; warnings: Warning[] } {
  const parsed = connectionParameters.safeParse(input, { error: ownSentence });
  const report = new Report(parsed.success ? [] : structuralFaults(parsed.error, input));
  const part = parsed.success ? (input as Sound<ConnectionInput>) : soundParts(parsed.error, input as ConnectionInput);
  if (part !== undefined) for (const rule of RULES) rule(part, context, report);
  report.throwIfFaulty();
  if (!parsed.success) throw parsed.error;
  if (asksForQuic(parsed.data.url) && !context.quicAvailable) {
    throw new Problem('not-available-here', {
      detail:
        'QUIC needs its optional package, which is not installed here or does not load: `npm run quic:install` installs it. Nothing falls back to TCP in silence.',
    });
  }
  return { parameters: resolve(parsed.data, context), warnings: report.warnings };
}

function resolve(parsed: ParsedConnection, { defaultHold }: ConnectionContext): ConnectionParameters {
  const clientId = parsed.clientId ?? parsed.id ?? '';
  const id = parsed.id ?? (clientId === '' ? undefined : clientId);
  const forEver = parsed.sessionExpiryInterval === SESSION_NEVER_EXPIRES;
  return {
    ...parsed,
    ...(id === undefined ? {} : { id }),
    clientId,
    ...(parsed.url === undefined ? { broker: parsed.broker ?? DEFAULT_BROKER } : {}),
    ...(forEver ? { sessionExpiryInterval: 'never' as const } : {}),
    hold: parsed.hold ?? defaultHold,
  };
}
