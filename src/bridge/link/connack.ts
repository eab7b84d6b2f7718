import type { IConnackPacket } from 'mqtt-packet';
import type { ProtocolVersion } from '../../mqtt/protocol-version.ts';
import { reasonName } from '../../mqtt/reason-codes.ts';
import type { Connack } from '../../schemas/connection-view.ts';
import type { LinkEnd } from './link-end.ts';
import { toUserProperties } from './packets.ts';

/** CONNACK as the API shows it, with all that the broker sent. */
export function toConnack(packet: IConnackPacket, version: ProtocolVersion): Connack {
  const { userProperties, authenticationData, ...properties } = packet.properties ?? {};
  const reasonCode = packet.reasonCode ?? packet.returnCode ?? 0;
  return {
    sessionPresent: packet.sessionPresent,
    reasonCode,
    reason: properties.reasonString ?? reasonName('connack', reasonCode, version),
    properties: {
      ...properties,
      ...(userProperties === undefined ? {} : { userProperties: toUserProperties(userProperties) }),
      ...(authenticationData === undefined ? {} : { authenticationData: authenticationData.toString('base64') }),
    },
  };
}

/** Why a CONNACK that accepts cannot be: the connection must be closed then. */
export function connackFault(
  { sessionPresent, length = 0 }: IConnackPacket,
  { clean, protocolLevel }: { clean: boolean; protocolLevel: number },
): LinkEnd | null {
  // The flag's bit is reserved in 3.1.
  if (clean && sessionPresent && protocolLevel > 3) {
    return {
      kind: 'protocol',
      detail: 'CONNACK says Session Present although a clean start was asked for [MQTT-3.2.2-2]',
    };
  }
  if (length < 2) return { kind: 'protocol', detail: 'CONNACK has no reason code [MQTT 5.0 §3.2.2.2]' };
  return null;
}
