import { describe, expect, test } from 'vitest';
import { describeTransportError } from '../../../../src/bridge/link/transport-errors.ts';

const failure = (members: object, message = 'x') => Object.assign(new Error(message), members);
const openssl = (reason: string, rest = '') =>
  `407DACACE17F0000:error:0A000410:SSL routines:ssl3_read_bytes:${reason}:../deps/openssl/ssl/rec.c:918:${rest}\n`;

describe('the broker’s certificate', () => {
  test.each([
    ['DEPTH_ZERO_SELF_SIGNED_CERT', /self-signed/],
    ['SELF_SIGNED_CERT_IN_CHAIN', /CA that is not trusted/],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', /CA that is not trusted/],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', /unknown CA/],
    ['CERT_HAS_EXPIRED', /expired/],
    ['CERT_NOT_YET_VALID', /not valid yet/],
    ['CERT_REVOKED', /revoked/],
    ['INVALID_PURPOSE', /not one for servers/],
  ])('%s', (code, why) => {
    const { kind, detail } = describeTransportError(failure({ code }, 'x; try running Node.js with --use-system-ca'));
    expect(kind).toBe('tls');
    expect(detail).toMatch(/^The broker’s certificate /);
    expect(detail).toMatch(why);
    expect(detail).toContain(`(${code})`);
    expect(detail).not.toContain('Node.js');
  });

  test.each([
    ['DNS:a.test, DNS:*.b.test, IP Address:10.0.0.1', 'for a.test, *.b.test, 10.0.0.1, not for h:'],
    [Array.from({ length: 12 }, (_, index) => `DNS:${index}.test`).join(', '), '9.test and 2 more, not for h:'],
    [undefined, 'for no host at all, not for h:'],
  ])('names its hosts: %s', (subjectaltname, text) => {
    const error = failure({ code: 'ERR_TLS_CERT_ALTNAME_INVALID', host: 'h.', cert: { subjectaltname } });
    expect(describeTransportError(error)).toMatchObject({ kind: 'tls', detail: expect.stringContaining(text) });
  });
});

describe('an alert of the broker', () => {
  test.each([
    [40, /accepts nothing that it was offered/],
    [42, /refused the client certificate/],
    [43, /refused the client certificate/],
    [44, /refused the client certificate.*revoked/],
    [45, /refused the client certificate.*expired/],
    [46, /refused the client certificate/],
    [48, /refused the client certificate.*CA/],
    [70, /no TLS version in common/],
    [112, /tls\.serverName/],
    [116, /requires a client certificate/],
    [120, /ALPN/],
    [99, /The broker ended the TLS handshake \(TLS alert: 99\)/],
  ])('%i, as it is read and as it is found by a write', (alert, why) => {
    const message = openssl('some alert', `SSL alert number ${alert}`);
    for (const code of ['ERR_SSL_SOME_ALERT', 'EPROTO']) {
      const { kind, detail } = describeTransportError(failure({ code }, `write EPROTO ${message}`));
      expect(kind).toBe('tls');
      expect(detail).toMatch(why);
      expect(detail).not.toMatch(/openssl|\n/);
    }
  });
});

describe('what this side found', () => {
  test.each([
    ['wrong version number', /not TLS.*plaintext/],
    ['unsupported protocol', /no TLS version in common/],
    ['dh key too small', /too weak/],
    ['something new', /^The TLS handshake failed \(something new\)$/],
  ])('%s', (reason, why) => {
    const { kind, detail } = describeTransportError(failure({ code: 'ERR_SSL_X' }, openssl(reason)));
    expect({ kind, detail }).toEqual({ kind: 'tls', detail: expect.stringMatching(why) });
  });

  test('an error of TLS without OpenSSL’s text', () => {
    const error = failure({ code: 'ERR_TLS_HANDSHAKE_TIMEOUT' }, 'TLS handshake timeout');
    expect(describeTransportError(error).detail).toBe('The TLS handshake failed (TLS handshake timeout)');
  });
});

describe('an end before the first byte', () => {
  test.each([
    ['handshake', 'tls', /during the TLS handshake/],
    ['unanswered-mqtts', 'unreachable', /right after the TLS handshake/],
    ['unanswered-mqtt', 'unreachable', /perhaps the port is one for TLS/],
    ['unanswered-ws', 'unreachable', /WebSocket server.*perhaps the port is one for mqtt, for TLS/],
    ['unanswered-wss', 'unreachable', /WebSocket server.*after the TLS handshake.*perhaps the port is one for mqtts/],
  ])('%s', (stage, kind, why) => {
    for (const code of ['ECLOSED', 'ECONNRESET', 'EPIPE']) {
      const end = describeTransportError(failure({ code, stage }));
      expect(end).toEqual({ kind, detail: expect.stringMatching(why) });
    }
    // Another reason says more than the stage.
    expect(describeTransportError(failure({ code: 'ETIMEDOUT', stage }, 'read ETIMEDOUT')).detail).toBe(
      'read ETIMEDOUT',
    );
  });
});

describe('others', () => {
  test('an address that is forbidden', () => {
    expect(describeTransportError(failure({ code: 'EFORBIDDEN' }, 'no')).kind).toBe('forbidden');
  });

  const at = { address: '127.0.0.1', port: 1 };
  test.each([
    [{ code: 'ECONNREFUSED', syscall: 'connect', ...at }, 'Nothing listens at 127.0.0.1:1 (ECONNREFUSED)'],
    [{ code: 'ENETUNREACH', syscall: 'connect', address: '::1', port: 1 }, 'There is no way to [::1]:1 (ENETUNREACH)'],
    [{ code: 'ETIMEDOUT', syscall: 'connect', ...at }, 'There is no answer from 127.0.0.1:1 (ETIMEDOUT)'],
    [{ code: 'ETIMEDOUT', syscall: 'read' }, 'There is no answer from the broker (ETIMEDOUT)'],
    [{ code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'h' }, 'There is no host of the name h (ENOTFOUND)'],
    [{ code: 'EAI_AGAIN', syscall: 'getaddrinfo', hostname: 'h' }, 'No name server answers for h (EAI_AGAIN)'],
    [{ code: 'ECONNRESET', syscall: 'read' }, 'The peer broke the connection off (ECONNRESET)'],
    [{ code: 'EPIPE', syscall: 'write' }, 'The peer has closed the connection (EPIPE)'],
    [{ code: 'EMFILE', syscall: 'connect', ...at }, 'The network connection failed (EMFILE)'],
  ])('what the system says: $code', (members, detail) => {
    expect(describeTransportError(failure(members, 'recvmsg'))).toEqual({ kind: 'unreachable', detail });
  });

  test('every address of a name', () => {
    const refused = { code: 'ECONNREFUSED', syscall: 'connect', port: 1 };
    const error = new AggregateError([
      failure({ ...refused, address: '::1' }),
      failure({ ...refused, address: '127.0.0.1' }),
    ]);
    const detail = 'Nothing listens at [::1]:1 (ECONNREFUSED); Nothing listens at 127.0.0.1:1 (ECONNREFUSED)';
    expect(describeTransportError(error).detail).toBe(detail);
  });

  test('no text at all', () => {
    expect(describeTransportError(failure({ code: 'EHOSTDOWN' }, '')).detail).toBe('EHOSTDOWN');
  });
});
