import { LinkError } from './link-end.ts';
import { type ConnectOptions, type LinkHandlers, MqttLink } from './mqtt-client.ts';
import type { PacketIdentifiers } from './packet-identifiers.ts';

/** For a connection that is closed again at once. */
export const NO_HANDLERS: LinkHandlers = {
  onPacket: () => undefined,
  onBatchEnd: () => undefined,
  onDrain: () => undefined,
  onClose: () => undefined,
};

/** Connects to the first of a broker's addresses that answers with a CONNACK; rejects with what the last one said. */
export async function dial(
  addresses: readonly ConnectOptions[],
  identifiers: PacketIdentifiers,
  handlers: LinkHandlers,
  signal?: AbortSignal,
): Promise<MqttLink> {
  let failure = new LinkError({ kind: 'unreachable', detail: 'The broker has no address' });
  const deadline = Date.now() + (addresses[0]?.connectTimeoutMs ?? 0);
  for (const [index, options] of addresses.entries()) {
    // The time is for all of them together: a silent one leaves its share to those after it.
    const connectTimeoutMs = Math.max(1, (deadline - Date.now()) / (addresses.length - index));
    try {
      return await MqttLink.connect({ ...options, connectTimeoutMs }, identifiers, handlers, signal);
    } catch (error) {
      if (!(error instanceof LinkError)) throw error;
      failure = error;
      // A CONNACK is the broker's word, whichever of its addresses said it.
      if (error.end.kind === 'refused' || signal?.aborted) break;
    }
  }
  throw failure;
}
