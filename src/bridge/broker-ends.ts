import type { IConnackPacket, IDisconnectPacket } from 'mqtt-packet';
import type { LinkEnd } from './link-end.ts';
import { describeTransportError } from './transport-errors.ts';

/** What an error of the MQTT library means, which it tells by its text; a CONNACK that refused comes first. */
export function describeClientError(error: Error, connack: IConnackPacket | undefined): LinkEnd {
  const reasonCode = connack?.reasonCode ?? connack?.returnCode ?? 0;
  if (connack !== undefined && reasonCode > 0) {
    const reasonString = connack.properties?.reasonString;
    return {
      kind: 'refused',
      detail: error.message,
      reasonCode,
      connack,
      ...(reasonString === undefined ? {} : { reasonString }),
    };
  }
  if (error.message === 'connack timeout') return { kind: 'timeout', detail: 'No CONNACK in time' };
  if (error.message === 'Keepalive timeout') return { kind: 'closed', detail: 'The broker did not answer PINGREQ' };
  if ('code' in error && typeof error.code === 'string') return describeTransportError(error);
  return { kind: 'protocol', detail: error.message };
}

export function describeDisconnect({ reasonCode = 0, properties }: IDisconnectPacket): LinkEnd {
  return {
    kind: 'disconnected',
    detail: 'The broker sent DISCONNECT',
    reasonCode,
    ...(properties?.reasonString === undefined ? {} : { reasonString: properties.reasonString }),
  };
}
