import type { ConnectionRule } from './rule.ts';

/** Of a SUBACK for as many filters as the bridge puts into one SUBSCRIBE, rounded up. */
const USEFUL_BYTES = 128;
/** The shortest CONNACK: fixed header, flags, reason code, no properties. [MQTT 5.0 §3.2] */
const CONNACK_BYTES = 5;
/** Of a PUBLISH at QoS 1 without properties, beside its topic and payload. [MQTT 5.0 §3.3] */
const PUBLISH_BYTES = 7;

/** Packets over the Maximum Packet Size are not sent, and nobody is told. [MQTT-3.1.2-24, MQTT-3.1.2-25] */
export const packetSizeRules: ConnectionRule = ({ properties }, _context, report) => {
  const size = properties?.maximumPacketSize;
  if (size === undefined || size >= USEFUL_BYTES) return;
  const effect =
    size < CONNACK_BYTES
      ? `CONNACK has at least ${CONNACK_BYTES} bytes, so that no connection can be made`
      : `of a PUBLISH, ${Math.max(0, size - PUBLISH_BYTES)} bytes are left for its topic and payload`;
  report.warn(
    {
      code: 'small-packets-only',
      detail: `The Maximum Packet Size is ${size}, and the broker drops longer packets in silence: ${effect}. Below ${USEFUL_BYTES}, acknowledgements may be among them.`,
      pointer: '/properties/maximumPacketSize',
    },
    ['/properties/maximumPacketSize', '/protocolVersion'],
  );
};
