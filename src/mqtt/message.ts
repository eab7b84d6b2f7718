/** Quality of Service levels. [MQTT 5.0 §4.3] */
export type QoS = 0 | 1 | 2;

/** A user property list: names may repeat; the order of values is kept per name. */
export type UserProperties = Record<string, string[]>;

/** Properties of a PUBLISH as an application sees them (MQTT 5.0 §3.3.2.3); absent on 3.x. */
export interface MessageProperties {
  payloadFormatIndicator?: 0 | 1;
  /** Seconds. */
  messageExpiryInterval?: number;
  contentType?: string;
  responseTopic?: string;
  correlationData?: Uint8Array;
  userProperties?: UserProperties;
}

/** An application message on its way to a broker. Already validated. */
export interface OutgoingMessage {
  topic: string;
  payload: Uint8Array;
  qos: QoS;
  retain: boolean;
  properties?: MessageProperties;
}

/** An application message as it arrived from a broker. */
export interface IncomingMessage {
  topic: string;
  /** Empty for an `oversize` record. */
  payload: Uint8Array;
  qos: QoS;
  retain: boolean;
  dup: boolean;
  /** Milliseconds since the epoch. */
  receivedAt: number;
  properties?: MessageProperties;
  subscriptionIdentifiers?: number[];
  /** Set when the payload was longer than `MAX_PAYLOAD` and was not kept: its length in bytes. */
  oversize?: number;
}

/** What a caller learns of a finished publish. */
export interface PublishOutcome {
  qos: QoS;
  /** PUBACK's or PUBCOMP's reason code; 0 at QoS 0 and on 3.x. */
  reasonCode: number;
  reason: string;
  /** `false` when the broker said "no matching subscribers" (0x10); otherwise unknown. */
  matched: false | null;
}
