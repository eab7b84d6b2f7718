import type { CloseReason } from './quic-package.ts';

/** An error with a `code`, as Node's own transports have them. */
export function coded(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/** What quiche threw, where the peer did what it may not. */
export function failed(cause: Error): Error {
  const reset = /^Stream(Reset|Stopped)/.test(cause.message);
  const text = reset ? 'The broker gave the QUIC stream up' : `The QUIC connection failed: ${cause.message}`;
  return coded(reset ? 'ECONNRESET' : 'ERR_QUIC_CONNECTION', text);
}

/** The peer closed the connection, after the handshake; null when without an error. */
export function closedByPeer({ isApp, errorCode }: CloseReason): Error | null {
  if (errorCode === 0) return null;
  const whose = isApp ? 'application' : 'transport';
  return coded('ECONNRESET', `The broker closed the QUIC connection with ${whose} error ${errorCode}`);
}
