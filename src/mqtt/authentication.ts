/** The method of enhanced authentication whose exchange the bridge leads itself. [MQTT 5.0 §4.12, RFC 7677] */
export const SCRAM_SHA_256 = 'SCRAM-SHA-256';
