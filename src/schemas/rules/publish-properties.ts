import { MAX_BINARY_BYTES } from '../../mqtt/limits.ts';
import { decodeBase64, isUtf8Text } from '../../mqtt/payload.ts';
import { checkTopicName } from '../../mqtt/topics.ts';
import type { Report, UserPropertiesPart } from '../report.ts';

/** The PUBLISH properties of a message or a Will, as far as they are sound. */
export interface PublishPropertiesPart {
  payloadFormatIndicator?: 0 | 1 | undefined;
  contentType?: string | undefined;
  responseTopic?: string | undefined;
  correlationData?: string | undefined;
  userProperties?: UserPropertiesPart | undefined;
}

/** What MQTT says of the properties at `pointer` and of the payload that they describe (null: unknown). */
export function checkPublishProperties(
  properties: PublishPropertiesPart,
  pointer: string,
  payload: Uint8Array | null,
  report: Report,
): void {
  const { contentType, responseTopic, correlationData, userProperties, payloadFormatIndicator } = properties;
  report.string(`${pointer}/contentType`, 'The Content Type', contentType);
  if (responseTopic !== undefined) checkResponseTopic(responseTopic, `${pointer}/responseTopic`, report);
  checkBinary(correlationData, `${pointer}/correlationData`, 'The Correlation Data', 'MQTT 5.0 §3.3.2.3.6', report);
  report.userProperties(`${pointer}/userProperties`, userProperties);
  if (payloadFormatIndicator === 1 && payload !== null && !isUtf8Text(payload)) {
    report.fault({
      pointer: `${pointer}/payloadFormatIndicator`,
      detail: 'The Payload Format Indicator is 1 (UTF-8 text), and the payload is not UTF-8.',
      reference: 'MQTT 5.0 §3.3.2.3.2',
    });
  }
}

/** Judges base64 of MQTT Binary Data; absent is fine. [MQTT 5.0 §1.5.6] */
export function checkBinary(
  text: string | undefined,
  pointer: string,
  subject: string,
  reference: string,
  report: Report,
): void {
  if (text === undefined) return;
  const bytes = decodeBase64(text);
  if (bytes === null) {
    report.fault({
      pointer,
      detail: `${subject} is not base64: RFC 4648 §4, the standard alphabet, with padding.`,
      reference,
    });
  } else if (bytes.length > MAX_BINARY_BYTES) {
    report.fault({
      pointer,
      detail: `${subject} is ${bytes.length} bytes, and Binary Data has at most ${MAX_BINARY_BYTES}.`,
      reference: 'MQTT 5.0 §1.5.6',
    });
  }
}

function checkResponseTopic(topic: string, pointer: string, report: Report): void {
  const breach = checkTopicName(topic);
  const wildcard = breach?.clause === 'MQTT-3.3.2-2';
  report.breach(pointer, 'The Response Topic', wildcard ? { ...breach, clause: 'MQTT-3.3.2-14' } : breach);
  if (breach === null) report.caution(pointer, 'The Response Topic', topic);
}
