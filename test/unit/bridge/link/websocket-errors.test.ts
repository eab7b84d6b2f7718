import { expect, test } from 'vitest';
import { describeWebSocketError } from '../../../../src/bridge/link/websocket-errors.ts';

const ANSWERED = 'The broker answered the WebSocket handshake with HTTP status';

test.each([
  ['Unexpected server response: 400', `${ANSWERED} 400: perhaps it speaks another version of WebSocket`],
  ['Unexpected server response: 401', `${ANSWERED} 401: it wants credentials in a header`],
  ['Unexpected server response: 403', `${ANSWERED} 403: it does not allow this`],
  ['Unexpected server response: 404', `${ANSWERED} 404: there is no WebSocket at this path`],
  ['Unexpected server response: 426', `${ANSWERED} 426: it wants another protocol`],
  ['Unexpected server response: 301', `${ANSWERED} 301: redirects are not followed`],
  ['Unexpected server response: 503', `${ANSWERED} 503`],
  ['Server sent no subprotocol', 'The broker did not accept MQTT’s sub-protocol'],
  ['Server sent an invalid subprotocol', 'The broker did not accept MQTT’s sub-protocol'],
  ['Invalid Sec-WebSocket-Accept header', 'The peer does not answer as a WebSocket server'],
  ['Invalid Upgrade header', 'The peer does not answer as a WebSocket server'],
  ['Parse Error: Expected HTTP/, RTSP/ or ICE/', 'The peer does not answer as a WebSocket server'],
  ['socket hang up', 'The peer does not answer as a WebSocket server'],
])('%s', (message, beginning) => {
  const detail = describeWebSocketError(new Error(message)) ?? '';
  expect(detail.slice(0, beginning.length)).toBe(beginning);
  // Nothing of the library's own words.
  expect(detail).not.toContain(message);
});

test.each(['read ECONNRESET', 'Unexpected server response: 40', 'x Server sent no subprotocol'])(
  'is none: %s',
  (message) => expect(describeWebSocketError(new Error(message))).toBeNull(),
);
