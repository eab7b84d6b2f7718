import type { IConnackPacket } from 'mqtt-packet';
import type { ProtocolVersion } from '../mqtt/protocol-version.ts';
import { reasonName } from '../mqtt/reason-codes.ts';
import type { Connack } from '../schemas/connection-view.ts';
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
