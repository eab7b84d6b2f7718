/** The MQTT versions that the bridge speaks, as the API spells them. */
export type ProtocolVersion = '5.0' | '3.1.1' | '3.1';
/** The Protocol Level (3.x) or Protocol Version (5.0) byte of CONNECT. [MQTT 5.0 §3.1.2.2] */
export type ProtocolLevel = 5 | 4 | 3;

export const PROTOCOL_VERSIONS = ['5.0', '3.1.1', '3.1'] as const satisfies readonly ProtocolVersion[];

/** What CONNECT says for each version. Only 3.1 has the Protocol Name `MQIsdp`. */
export const PROTOCOLS = {
  '5.0': { level: 5, name: 'MQTT' },
  '3.1.1': { level: 4, name: 'MQTT' },
  '3.1': { level: 3, name: 'MQIsdp' },
} as const satisfies Record<ProtocolVersion, { level: ProtocolLevel; name: string }>;
