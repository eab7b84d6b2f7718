import { z } from 'zod';
import { flag, text } from './fields.ts';
import { lazily } from './lazily.ts';

const PEM_EXAMPLE = '-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n';

/** TLS under `mqtts`, `wss` and `quic`; text in PEM. */
export const tls = lazily(() =>
  z
    .strictObject(
      {
        ca: text('`tls.ca` is a string of PEM certificates')
          .optional()
          .describe('PEM: the certificate authorities to trust in place of Node’s and the operator’s.')
          .meta({ examples: [PEM_EXAMPLE] }),
        cert: text('`tls.cert` is a string of PEM certificates')
          .optional()
          .describe('PEM: the client’s certificate chain, its own first; with `key`.')
          .meta({ examples: [PEM_EXAMPLE] }),
        key: text('`tls.key` is a string of PEM')
          .optional()
          .describe('PEM: the private key of `cert`. Never answered.'),
        passphrase: text('`tls.passphrase` is a string').optional().describe('Decrypts `key`. Never answered.'),
        serverName: text('`tls.serverName` is a string')
          .optional()
          .describe('Name for SNI and for the certificate check; default: the URL’s host. [RFC 6066 §3]')
          .meta({ examples: ['broker.example.com'] }),
        alpn: z
          .array(text('An ALPN protocol is a string of 1 to 255 bytes [RFC 7301 §3.1]'), {
            error: '`tls.alpn` is an array of strings',
          })
          .min(1, { error: '`tls.alpn` has at least one protocol [RFC 7301 §3.1]' })
          .optional()
          .describe(
            'ALPN protocol names of 1–255 bytes, in order of preference; AWS IoT Core on port 443 needs `x-amzn-mqtt-ca`. [RFC 7301 §3.1]',
          )
          .meta({ examples: [['mqtt']] }),
        rejectUnauthorized: flag('`tls.rejectUnauthorized` is true or false')
          .default(true)
          .describe(
            'Whether the broker’s certificate must verify; default true; false only where the operator allows it.',
          ),
      },
      { error: '`tls` is an object' },
    )
    .describe('TLS of the `url`; a broker profile brings its own.')
    .meta({ examples: [{ ca: PEM_EXAMPLE, serverName: 'broker.example.com' }] }),
);

/** The WebSocket handshake under `ws` and `wss`. */
export const websocket = lazily(() =>
  z
    .strictObject(
      {
        path: text('`websocket.path` is a string that starts with "/"')
          .optional()
          .describe('Path of the WebSocket, from "/"; default: the URL’s, else `/mqtt`.')
          .meta({ examples: ['/mqtt'] }),
        headers: z
          .record(z.string(), text('The value of a header is a string'), {
            error: '`websocket.headers` is an object of strings',
          })
          .optional()
          .describe('Headers of the handshake. Their values are never answered. [RFC 9110 §5]')
          .meta({ examples: [{ 'X-Tenant': 'a' }] }),
      },
      { error: '`websocket` is an object' },
    )
    .describe('The WebSocket handshake; only with a ws or wss `url`. [MQTT 5.0 §6]')
    .meta({ examples: [{ path: '/mqtt' }] }),
);
