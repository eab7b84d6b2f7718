import type { IConnackPacket } from 'mqtt-packet';
import { Problem } from '../errors/problem.ts';
import { MAX_RECEIVE_MAXIMUM } from '../mqtt/limits.ts';
import type { OutgoingMessage, QoS } from '../mqtt/message.ts';

/** What CONNACK allows a client to send; MQTT's defaults where the broker said nothing. [MQTT 5.0 §3.2.2.3] */
export interface ServerLimits {
  receiveMaximum: number;
  maximumQoS: QoS;
  retainAvailable: boolean;
  /** Bytes of a whole packet; Infinity when the broker named none. */
  maximumPacketSize: number;
}

export function readServerLimits({ properties = {} }: IConnackPacket): ServerLimits {
  return {
    receiveMaximum: properties.receiveMaximum ?? MAX_RECEIVE_MAXIMUM,
    maximumQoS: (properties.maximumQoS ?? 2) as QoS,
    retainAvailable: properties.retainAvailable ?? true,
    maximumPacketSize: properties.maximumPacketSize ?? Number.POSITIVE_INFINITY,
  };
}

/** Why a message may not be sent to this broker, with the code that the broker would close the connection with. */
export function refusalByLimits(message: OutgoingMessage, packetBytes: number, limits: ServerLimits): Problem | null {
  if (message.qos > limits.maximumQoS) {
    return refusal(0x9b, 'QoS not supported', `The broker's Maximum QoS is ${limits.maximumQoS} [MQTT-3.2.2-11]`);
  }
  if (message.retain && !limits.retainAvailable) {
    return refusal(0x9a, 'Retain not supported', 'The broker does not support retained messages [MQTT-3.2.2-14]');
  }
  if (packetBytes > limits.maximumPacketSize) {
    const detail = `The packet has ${packetBytes} bytes; the broker takes ${limits.maximumPacketSize} [MQTT-3.2.2-15]`;
    return refusal(0x95, 'Packet too large', detail);
  }
  return null;
}

function refusal(reasonCode: number, reason: string, detail: string): Problem {
  return new Problem('broker-refused', { reasonCode, reason, detail });
}
