import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { describeTransportError } from '../../../../src/bridge/link/transport-errors.ts';
import {
  identityFault,
  localTlsError,
  peerTlsError,
  serverNameOf,
} from '../../../../src/bridge/transports/quic-tls.ts';
import { createCertificates } from '../../../helpers/certificates.ts';

const { server, wrongHost } = await createCertificates();
const der = ({ cert }: { cert: string }) => new X509Certificate(cert).raw;
const closed = (errorCode: number, isApp = false) => ({ errorCode, isApp, reason: new Uint8Array(0) });

test.each([
  ['broker.test', {}, 'broker.test'],
  ['127.0.0.1', {}, null],
  ['::1', {}, null],
  ['127.0.0.1', { serverName: 'broker.test' }, 'broker.test'],
])('the server name to ask %s for, with %j', (host, tls, name) => expect(serverNameOf(host, tls)).toBe(name));

describe('whose certificate it is', () => {
  test.each([
    ['localhost', server, {}],
    ['127.0.0.1', server, {}],
    ['::1', server, {}],
    ['10.0.0.1', wrongHost, { serverName: 'elsewhere.test' }],
    ['localhost', wrongHost, { rejectUnauthorized: false }],
  ])('of %s', (host, certificate, tls) => expect(identityFault(host, tls, der(certificate))).toBeNull());

  test.each([
    ['localhost', wrongHost, {}],
    ['127.0.0.2', server, {}],
    ['localhost', server, { serverName: 'elsewhere.test' }],
  ])('not of %s', (host, certificate, tls) => {
    expect(identityFault(host, tls, der(certificate))).toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  });

  test('none is none, and matters only where it is verified', () => {
    expect(identityFault('localhost', {}, undefined)).toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    expect(identityFault('localhost', { rejectUnauthorized: false }, undefined)).toBeNull();
  });
});

describe('an end of the handshake, in the words for TLS over TCP', () => {
  test.each([
    [localTlsError(closed(0x100 + 44)), /certificate has been revoked/],
    [localTlsError(closed(0x100 + 45)), /certificate has expired/],
    [localTlsError(closed(0x100 + 48)), /CA that is not trusted here/],
    [localTlsError(closed(0x100 + 40)), /TLS handshake failed .*alert 40/],
    [peerTlsError(closed(0x100 + 116)), /requires a client certificate/],
    [peerTlsError(closed(0x100 + 120)), /ALPN/],
  ])('%s', (error, why) => {
    expect(error === null ? null : describeTransportError(error)).toEqual({
      kind: 'tls',
      detail: expect.stringMatching(why),
    });
  });

  test.each([
    ['an application’s own', closed(0x100 + 116, true)],
    ['a transport error', closed(0x0a)],
    ['beyond the alerts', closed(0x200)],
  ])('is not why it closed: %s', (_, reason) => expect(peerTlsError(reason)).toBeNull());
});
