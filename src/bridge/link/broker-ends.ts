import type { IConnackPacket, IDisconnectPacket } from 'mqtt-packet';
import type { LinkEnd } from './link-end.ts';
import { toUserProperties } from './packets.ts';
import { describeTransportError } from './transport-errors.ts';

/** What an error of the MQTT library means, which it tells by its text; a CONNACK that refused comes first. */
export function describeClientError(error: Error, connack: IConnackPacket | undefined): LinkEnd {
  const reasonCode = connack?.reasonCode ?? connack?.returnCode ?? 0;
  if (connack !== undefined && reasonCode > 0) {
    return { kind: 'refused', detail: error.message, reasonCode, connack, ...saidBeside(connack) };
  }
  if (error.message === 'connack timeout') return { kind: 'timeout', detail: 'No CONNACK in time' };
  if ('code' in error && typeof error.code === 'string') return describeTransportError(error);
  return { kind: 'protocol', detail: error.message };
}

export function describeDisconnect(packet: IDisconnectPacket): LinkEnd {
  const { reasonCode = 0, properties } = packet;
  const userProperties = properties?.userProperties;
  return {
    kind: 'disconnected',
    detail: 'The broker sent DISCONNECT',
    reasonCode,
    ...saidBeside(packet),
    ...(userProperties === undefined ? {} : { userProperties: toUserProperties(userProperties) }),
  };
}

/** Reason String and Server Reference. */
function saidBeside({
  properties,
}: IConnackPacket | IDisconnectPacket): Pick<LinkEnd, 'reasonString' | 'serverReference'> {
  const { reasonString, serverReference } = properties ?? {};
  return {
    ...(reasonString === undefined ? {} : { reasonString }),
    ...(serverReference === undefined ? {} : { serverReference }),
  };
}
