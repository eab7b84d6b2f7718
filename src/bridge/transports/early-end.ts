import type { Socket } from 'node:net';
import type { Scheme } from './address.ts';

/**
 * How far a network connection had come when it broke before the first byte of an answer: in the TLS handshake, or
 * waiting for that answer, to CONNECT or to the WebSocket handshake.
 */
export type EarlyStage = 'handshake' | `unanswered-${Exclude<Scheme, 'quic'>}`;

/** An error of a transport; those of an early end say the stage. */
export interface TransportError extends Error {
  readonly code?: unknown;
  /** Of the system's own errors: what was called, and for where. */
  readonly syscall?: unknown;
  readonly address?: unknown;
  readonly port?: unknown;
  readonly hostname?: unknown;
  stage?: EarlyStage;
}

/** The `code` of an error that stands for an end without one. */
export const CLOSED_UNANSWERED = 'ECLOSED';

class ClosedUnanswered extends Error {
  override readonly name = 'ClosedUnanswered';
  readonly code = CLOSED_UNANSWERED;
}

/**
 * Has the errors of a socket say how far it had come, and makes an error of an end before the first byte. A peer that
 * leaves so early often speaks another protocol at that port: only the transport knows enough to say so.
 */
export function tellEarlyEnd(socket: Socket, stageNow: () => EarlyStage): void {
  let connected = false;
  socket.once('connect', () => {
    connected = true;
  });
  socket.prependListener('error', (error: TransportError) => {
    if (connected && !socket.readableDidRead) error.stage = stageNow();
  });
  socket.prependOnceListener('end', () => {
    if (!socket.readableDidRead) socket.destroy(new ClosedUnanswered('The peer closed the connection'));
  });
}
