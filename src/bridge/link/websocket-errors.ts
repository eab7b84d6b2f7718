/** What an error of a WebSocket's opening handshake means. The library tells them apart by their texts only. */
import type { TransportError } from '../transports/early-end.ts';

/** By HTTP status, the end of "The broker answered the WebSocket handshake with …". [RFC 6455 §4.1] */
const STATUS_HINTS: Readonly<Record<number, string>> = {
  400: 'perhaps it speaks another version of WebSocket, or wants other headers',
  401: 'it wants credentials in a header: see `websocket.headers`',
  403: 'it does not allow this: see `websocket.headers` and the path',
  404: 'there is no WebSocket at this path: see `websocket.path`',
  426: 'it wants another protocol at this path',
};

const NO_WEBSOCKET = 'The peer does not answer as a WebSocket server: perhaps the port is one for mqtt or mqtts';

const TEXTS: readonly (readonly [text: RegExp, detail: string])[] = [
  [
    /^Server sent (no|an invalid) subprotocol$/,
    'The broker did not accept MQTT’s sub-protocol: perhaps the WebSocket at this path is not one for MQTT [MQTT-6.0.0-4]',
  ],
  [/^Invalid (Sec-WebSocket-Accept|Upgrade) header$/, NO_WEBSOCKET],
  [/^Parse Error: /, NO_WEBSOCKET],
  [/^socket hang up$/, `${NO_WEBSOCKET}; it closed the connection during the WebSocket handshake`],
];

/** The sentence for an error of the opening handshake; null when it is none. */
export function describeWebSocketError({ message }: TransportError): string | null {
  const status = /^Unexpected server response: (\d{3})$/.exec(message)?.[1];
  if (status !== undefined) return describeStatus(Number(status));
  return TEXTS.find(([text]) => text.test(message))?.[1] ?? null;
}

function describeStatus(status: number): string {
  const hint = status >= 300 && status < 400 ? 'redirects are not followed' : STATUS_HINTS[status];
  return `The broker answered the WebSocket handshake with HTTP status ${status}${hint === undefined ? '' : `: ${hint}`}`;
}
