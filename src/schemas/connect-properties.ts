import { z } from 'zod';
import {
  MAX_FOUR_BYTE_INTEGER,
  MAX_RECEIVE_MAXIMUM,
  MIN_MAXIMUM_PACKET_SIZE,
  MIN_RECEIVE_MAXIMUM,
} from '../mqtt/limits.ts';
import { base64Text, flag, integer, text, userProperties } from './fields.ts';
import { lazily } from './lazily.ts';

/** Properties of CONNECT that a caller chooses. Topic Alias Maximum is not one: the bridge never offers aliases. */
export const connectProperties = lazily(() =>
  z
    .strictObject(
      {
        receiveMaximum: integer(
          MIN_RECEIVE_MAXIMUM,
          MAX_RECEIVE_MAXIMUM,
          'The Receive Maximum is a whole number from 1 to 65535; 0 is a Protocol Error [MQTT 5.0 §3.1.2.11.3]',
        )
          .optional()
          .describe(
            'QoS 1 and 2 messages that may be in flight to the bridge, 1–65535; default 65535. [MQTT 5.0 §3.1.2.11.3]',
          )
          .meta({ examples: [100] }),
        maximumPacketSize: integer(
          MIN_MAXIMUM_PACKET_SIZE,
          MAX_FOUR_BYTE_INTEGER,
          'The Maximum Packet Size is a whole number of bytes from 1 to 4294967295; 0 is a Protocol Error [MQTT 5.0 §3.1.2.11.4]',
        )
          .optional()
          .describe(
            'Bytes of the largest packet that the broker may send, 1–4294967295; absent: no limit. It drops longer ones in silence. [MQTT-3.1.2-24] [MQTT-3.1.2-25]',
          )
          .meta({ examples: [262144] }),
        requestResponseInformation: flag('Request Response Information is true or false [MQTT 5.0 §3.1.2.11.6]')
          .optional()
          .describe('Ask for Response Information in CONNACK; default false. [MQTT-3.1.2-28]'),
        requestProblemInformation: flag('Request Problem Information is true or false [MQTT 5.0 §3.1.2.11.7]')
          .optional()
          .describe('Let the broker add Reason Strings to any packet; default true. [MQTT-3.1.2-29]'),
        userProperties: userProperties.optional(),
        authenticationMethod: text('The Authentication Method is a string [MQTT 5.0 §3.1.2.11.9]')
          .optional()
          .describe('Name of the extended authentication method; at most 65535 bytes. [MQTT 5.0 §3.1.2.11.9]'),
        authenticationData: base64Text('Authentication Data is a string of base64 [MQTT 5.0 §3.1.2.11.10]')
          .optional()
          .describe(
            'Base64 of at most 65535 bytes; only with `authenticationMethod`. Never answered. [MQTT 5.0 §3.1.2.11.10]',
          ),
      },
      { error: 'The CONNECT properties are an object' },
    )
    .describe('Properties of CONNECT; MQTT 5.0 only. Topic Alias Maximum is always 0. [MQTT 5.0 §3.1.2.11]')
    .meta({ examples: [{ receiveMaximum: 100, userProperties: { site: 'plant-7' } }] }),
);
