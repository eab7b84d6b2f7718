/** TLS and the WebSocket handshake: both belong to a `url`, because a broker profile brings its own. */
import { isIP } from 'node:net';
import { BROKER_SCHEMES } from '../../mqtt/broker-schemes.ts';
import { materialFaults, validityCaution } from '../../tls/material.ts';
import { type BrokerUrl, readBrokerUrl } from '../broker-url.ts';
import { pointerTo } from '../faults.ts';
import type { Report } from '../report.ts';
import { type ConnectionContext, type ConnectionPart, type ConnectionRule, urlsOf } from './rule.ts';

const MAX_ALPN_BYTES = 255;

export const networkRules: ConnectionRule = (part, context, report) => {
  const read = urlsOf(part).map(({ text }) => readBrokerUrl(text));
  const urls = read.filter((url): url is BrokerUrl => 'url' in url);
  // A URL that cannot be read has its own fault, and says nothing about its transport.
  const whole = urls.length === read.length;
  if (part.tls !== undefined) {
    checkTls(part.tls, context, report);
    if (part.url === undefined) report.fault({ pointer: '/tls', detail: profileBrings('TLS') }, ['/url']);
    else if (whole && !urls.some(({ scheme }) => BROKER_SCHEMES[scheme].encrypted)) {
      report.fault({ pointer: '/tls', detail: 'The URL is of plaintext: TLS needs mqtts, wss or quic.' }, ['/url']);
    }
  }
  if (part.websocket !== undefined) {
    checkWebsocket(part.websocket, report);
    const webSockets = urls.filter(({ scheme }) => BROKER_SCHEMES[scheme].transport === 'websocket');
    if (part.url === undefined) report.fault({ pointer: '/websocket', detail: profileBrings('WebSocket') }, ['/url']);
    else if (whole && webSockets.length === 0) {
      report.fault({ pointer: '/websocket', detail: 'The URL is of no WebSocket: it needs ws or wss.' }, ['/url']);
    }
    if (part.websocket.path !== undefined && webSockets.some(({ path }) => path !== '')) {
      report.fault({ pointer: '/websocket/path', detail: 'The URL has a path too: give one of them.' });
    }
  }
};

function profileBrings(what: string): string {
  return `A broker profile brings its own ${what} settings: these belong to a \`url\`.`;
}

function checkTls(tls: NonNullable<ConnectionPart['tls']>, context: ConnectionContext, report: Report): void {
  checkMaterial(tls, context, report);
  for (const [member, needed] of [
    ['cert', 'key'],
    ['key', 'cert'],
    ['passphrase', 'key'],
  ] as const) {
    if (tls[member] === undefined || tls[needed] !== undefined) continue;
    report.fault({ pointer: `/tls/${member}`, detail: `\`tls.${member}\` needs \`tls.${needed}\`.` }, [
      `/tls/${needed}`,
    ]);
  }
  if (tls.serverName !== undefined && (tls.serverName === '' || isIP(tls.serverName) !== 0)) {
    report.fault({ pointer: '/tls/serverName', detail: 'The server name is a DNS name.', reference: 'RFC 6066 §3' });
  }
  for (const [index, protocol] of (tls.alpn ?? []).entries()) {
    const bytes = Buffer.byteLength(protocol ?? 'faulty');
    if (bytes > 0 && bytes <= MAX_ALPN_BYTES) continue;
    report.fault({
      pointer: `/tls/alpn/${index}`,
      detail: `An ALPN protocol has 1 to ${MAX_ALPN_BYTES} bytes.`,
      reference: 'RFC 7301 §3.1',
    });
  }
  if (tls.rejectUnauthorized !== false) return;
  const pointer = '/tls/rejectUnauthorized';
  if (context.allowInsecureTls) {
    report.warn({
      code: 'certificate-not-verified',
      detail: 'The broker’s certificate is not verified: anyone on the way can pass for the broker.',
      pointer,
    });
  } else {
    report.fault({ pointer, detail: 'The operator does not allow a broker whose certificate is not verified.' });
  }
}

/** Members by which a key is judged. */
const OF_THE_KEY = ['/tls/cert', '/tls/key', '/tls/passphrase'];

function checkMaterial(tls: NonNullable<ConnectionPart['tls']>, { stored }: ConnectionContext, report: Report): void {
  // Once at the edge: whoever reads a document must not have to decrypt its key each time.
  for (const { member, detail } of stored ? [] : materialFaults(tls)) {
    const basis = member === 'key' || member === 'passphrase' ? OF_THE_KEY : [];
    report.fault({ pointer: `/tls/${member}`, detail }, basis);
  }
  const caution = validityCaution(tls.cert ?? '');
  if (caution === null) return;
  report.warn({
    code: 'client-certificate-not-valid',
    detail: `The client certificate ${caution}.`,
    pointer: '/tls/cert',
  });
}

/** Headers that make up the handshake itself. [RFC 6455 §4.1] */
const HANDSHAKE_HEADER = /^(connection|upgrade|host|content-length|transfer-encoding|sec-websocket-.*)$/i;
/** [RFC 9110 §5.6.2] */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** [RFC 9110 §5.5] */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const PATH = /^\/[\x21-\x7e]*$/;

function checkWebsocket({ path, headers }: NonNullable<ConnectionPart['websocket']>, report: Report): void {
  if (path !== undefined && (!PATH.test(path) || /[?#]/.test(path))) {
    report.fault({
      pointer: '/websocket/path',
      detail: 'The path begins with "/" and is printable ASCII without "?" and "#".',
      reference: 'RFC 6455 §3',
    });
  }
  for (const [name, value] of Object.entries(headers ?? {})) {
    const pointer = `/websocket/headers${pointerTo(name)}`;
    if (!TOKEN.test(name)) {
      report.fault({ pointer, detail: `"${name}" is not the name of a header.`, reference: 'RFC 9110 §5.1' });
    } else if (HANDSHAKE_HEADER.test(name)) {
      report.fault({
        pointer,
        detail: `The header ${name} belongs to the handshake itself.`,
        reference: 'RFC 6455 §4.1',
      });
    }
    if (value !== undefined && !FIELD_VALUE.test(value)) {
      report.fault({
        pointer,
        detail: `The value of the header ${name} has characters that no header may have.`,
        reference: 'RFC 9110 §5.5',
      });
    }
  }
}
