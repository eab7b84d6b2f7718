import { z } from 'zod';
import { lazily } from './lazily.ts';

/** Properties of CONNACK as the broker sent them. [MQTT 5.0 §3.2.2.3] */
const connackProperties = lazily(() =>
  z
    .object({
      sessionExpiryInterval: z.int(),
      receiveMaximum: z.int(),
      maximumQoS: z.int(),
      retainAvailable: z.boolean(),
      maximumPacketSize: z.int(),
      assignedClientIdentifier: z.string(),
      topicAliasMaximum: z.int(),
      reasonString: z.string(),
      userProperties: z.record(z.string(), z.array(z.string())),
      wildcardSubscriptionAvailable: z.boolean(),
      subscriptionIdentifiersAvailable: z.boolean(),
      sharedSubscriptionAvailable: z.boolean(),
      serverKeepAlive: z.int(),
      responseInformation: z.string(),
      serverReference: z.string(),
      authenticationMethod: z.string(),
      authenticationData: z.string().meta({ contentEncoding: 'base64' }),
    })
    .partial()
    .describe('The properties that the broker sent, all of them; empty on 3.x.'),
);

export const connack = lazily(() =>
  z
    .object({
      sessionPresent: z.boolean().describe('Whether the broker had kept the session. [MQTT-3.2.2-3]'),
      reasonCode: z.int().describe('The reason code, or the return code on 3.x.'),
      reason: z.string().describe('The reason code’s name, or the broker’s Reason String.'),
      properties: connackProperties,
    })
    .meta({
      id: 'Connack',
      examples: [{ sessionPresent: true, reasonCode: 0, reason: 'Success', properties: { serverKeepAlive: 60 } }],
    }),
);

export type Connack = z.output<typeof connack>;
