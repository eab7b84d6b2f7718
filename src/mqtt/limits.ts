/** What MQTT and its ports fix, by name. Clauses are those of MQTT 5.0 unless the name says otherwise. */

/** Bytes of UTF-8 in one string; the length is a Two Byte Integer. [§1.5.4] */
export const MAX_STRING_BYTES = 65_535;
/** Bytes in Binary Data: a password, Correlation Data, a Will Payload. [§1.5.6] */
export const MAX_BINARY_BYTES = 65_535;
/** Largest Variable Byte Integer: Remaining Length, Subscription Identifier. [§1.5.5] */
export const MAX_VARIABLE_BYTE_INTEGER = 268_435_455;
/** Bytes of a packet after its fixed header. [§2.1.4] */
export const MAX_REMAINING_LENGTH = MAX_VARIABLE_BYTE_INTEGER;
/** Largest Four Byte Integer. [§1.5.3] */
export const MAX_FOUR_BYTE_INTEGER = 0xffff_ffff;

/** Packet Identifiers are non-zero. [MQTT-2.2.1-3] */
export const MIN_PACKET_IDENTIFIER = 1;
export const MAX_PACKET_IDENTIFIER = 65_535;

/** Seconds; 0 turns Keep Alive off. [§3.1.2.10] */
export const MAX_KEEP_ALIVE = 65_535;

/** Session Expiry Interval of a session that does not expire. [§3.1.2.11.2] */
export const SESSION_NEVER_EXPIRES = 0xffff_ffff;

/** 0 is a Protocol Error. [§3.1.2.11.3] */
export const MIN_RECEIVE_MAXIMUM = 1;
/** Also what an absent Receive Maximum means. [§3.1.2.11.3] */
export const MAX_RECEIVE_MAXIMUM = 65_535;
/** 0 is a Protocol Error. [§3.1.2.11.4] */
export const MIN_MAXIMUM_PACKET_SIZE = 1;

/** 0 is a Protocol Error. [§3.8.2.1.2] */
export const MIN_SUBSCRIPTION_IDENTIFIER = 1;
export const MAX_SUBSCRIPTION_IDENTIFIER = MAX_VARIABLE_BYTE_INTEGER;

/** ClientID bytes that every server has to allow; the most that MQTT 3.1 knows at all. [MQTT-3.1.3-5] */
export const PORTABLE_CLIENT_ID_BYTES = 23;
