import type { IConnackPacket } from 'mqtt-packet';
import { Problem } from '../../errors/problem.ts';
import { MAX_RECEIVE_MAXIMUM } from '../../mqtt/limits.ts';
import type { OutgoingMessage, QoS } from '../../mqtt/message.ts';
import { reasonName } from '../../mqtt/reason-codes.ts';
import { hasWildcard, isShared } from '../../mqtt/topics.ts';
import type { Granted, SubscriptionRequest } from '../../schemas/subscription.ts';
import { subscribeBytes } from './subscribe-packets.ts';

/** What CONNACK allows a client to send; MQTT's defaults where the broker said nothing. [MQTT 5.0 §3.2.2.3] */
export interface ServerLimits {
  receiveMaximum: number;
  maximumQoS: QoS;
  retainAvailable: boolean;
  /** Bytes of a whole packet; Infinity when the broker named none. */
  maximumPacketSize: number;
  wildcardSubscriptionAvailable: boolean;
  subscriptionIdentifiersAvailable: boolean;
  sharedSubscriptionAvailable: boolean;
}

export function readServerLimits({ properties = {} }: IConnackPacket): ServerLimits {
  return {
    receiveMaximum: properties.receiveMaximum ?? MAX_RECEIVE_MAXIMUM,
    maximumQoS: (properties.maximumQoS ?? 2) as QoS,
    retainAvailable: properties.retainAvailable ?? true,
    maximumPacketSize: properties.maximumPacketSize ?? Number.POSITIVE_INFINITY,
    wildcardSubscriptionAvailable: properties.wildcardSubscriptionAvailable ?? true,
    subscriptionIdentifiersAvailable: properties.subscriptionIdentifiersAvailable ?? true,
    sharedSubscriptionAvailable: properties.sharedSubscriptionAvailable ?? true,
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

/**
 * What this broker would close the connection for, if it were asked for such a subscription, in the form of SUBACK's
 * answer; null for one that it may be asked for. [MQTT 5.0 §3.2.2.3.11–13, MQTT-3.2.2-15]
 */
export function subscriptionRefusal(request: SubscriptionRequest, limits: ServerLimits): Granted | null {
  const { filter, subscriptionIdentifier } = request;
  if (isShared(filter) && !limits.sharedSubscriptionAvailable) return refused('suback', 0x9e);
  if (subscriptionIdentifier !== undefined && !limits.subscriptionIdentifiersAvailable) return refused('suback', 0xa1);
  if (hasWildcard(filter) && !limits.wildcardSubscriptionAvailable) return refused('suback', 0xa2);
  // SUBACK has no code for it: the broker would say so in DISCONNECT.
  if (subscribeBytes([request], subscriptionIdentifier) > limits.maximumPacketSize) return refused('disconnect', 0x95);
  return null;
}

function refused(packet: 'suback' | 'disconnect', reasonCode: number): Granted {
  return { qos: null, reasonCode, reason: reasonName(packet, reasonCode, '5.0') };
}

function refusal(reasonCode: number, reason: string, detail: string): Problem {
  return new Problem('broker-refused', { reasonCode, reason, detail });
}
