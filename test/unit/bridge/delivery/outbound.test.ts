import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Outbound, type OutboundSession } from '../../../../src/bridge/delivery/outbound.ts';
import type { MqttLink } from '../../../../src/bridge/link/mqtt-link.ts';
import { PacketIdentifiers } from '../../../../src/bridge/link/packet-identifiers.ts';
import type { Epoch, Key, NewExchange, OutboundExchange } from '../../../../src/bridge/ports.ts';
import { message } from '../../../helpers/bridge.ts';

const LONG = 10_000;
const FENCE = { key: 'key' as Key, epoch: '1' as Epoch };

/** A link that keeps what is written to it. */
function createLink() {
  const written: Buffer[] = [];
  const link = { alive: true, mayWrite: true, unsentBytes: 0, write: (bytes: Buffer) => void written.push(bytes) };
  return { link: link as unknown as MqttLink, written };
}

function session(former: readonly OutboundExchange[] = []): OutboundSession {
  const all = { wildcardSubscriptionAvailable: true, subscriptionIdentifiersAvailable: true };
  const limits = { ...all, sharedSubscriptionAvailable: true, retainAvailable: true };
  return {
    ...{ generation: 1, present: true, former, protocolVersion: '5.0' },
    limits: { ...limits, receiveMaximum: 10, maximumQoS: 2, maximumPacketSize: Number.POSITIVE_INFINITY },
  };
}

describe('a publish at QoS 2 that is recorded when there is no network connection any more', () => {
  it('is left to the next owner, and not sent beside it when the lease comes back', async () => {
    const recorded = Promise.withResolvers<void>();
    const begun: NewExchange[] = [];
    const outbound = new Outbound({
      exchanges: {
        begin: async (_fence, _generation, exchanges) => {
          begun.push(...exchanges);
          await recorded.promise;
        },
        release: async () => {},
        finish: async () => {},
      },
      fence: () => FENCE,
      identifiers: new PacketIdentifiers(),
      onFailure: (error) => {
        throw error;
      },
    });
    const [before, after] = [createLink(), createLink()];
    outbound.open(before.link, session());
    const publishing = outbound.publish(message('a/b', 'x', 2), LONG);
    await turn();
    expect(begun).toHaveLength(1);
    outbound.close();
    recorded.resolve();
    await turn();

    outbound.forgetFlights();
    await expect(publishing).rejects.toMatchObject({ type: 'outcome-unknown' });
    const former = begun.map(({ packetId, packet }) => {
      return { packetId, packet, stage: 'publish', reasonCode: 0, item: null } as const;
    });
    outbound.open(after.link, session(former));
    await turn();
    expect(before.written).toEqual([]);
    expect(after.written).toHaveLength(1);
  });
});
