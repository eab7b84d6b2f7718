import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const HEAD_END = '\r\n\r\n';

/** A POST with a JSON body, as it goes on the wire every time. */
export function encodePost(port: number, path: string, body: string): Buffer {
  const head = [
    `POST ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return Buffer.from(`${head.join('\r\n')}${HEAD_END}${body}`);
}

/**
 * One keep-alive connection with one request in flight. It knows only what the servers compared here send (a
 * Content-Length, no chunks), because a load generator that costs as much as a server measures itself.
 */
export class RawHttpClient {
  readonly #socket: Socket;
  readonly #onResponse: (failure: string | null) => void;
  #rest: Buffer | null = null;

  private constructor(socket: Socket, onResponse: (failure: string | null) => void) {
    this.#socket = socket;
    this.#onResponse = onResponse;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('close', () => onResponse('the server closed the connection'));
  }

  /** `onResponse` is told of each response, with what it said when its status was not 2xx. */
  static async open(port: number, onResponse: (failure: string | null) => void): Promise<RawHttpClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new RawHttpClient(socket, onResponse);
  }

  send(request: Buffer): void {
    this.#socket.write(request);
  }

  close(): void {
    this.#socket.removeAllListeners('close');
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = bytes;
    const headEnd = bytes.indexOf(HEAD_END);
    if (headEnd === -1) return;
    const head = bytes.toString('latin1', 0, headEnd);
    const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
    if (length === undefined) {
      this.#onResponse(`a response without Content-Length: ${head}`);
      return;
    }
    const end = headEnd + HEAD_END.length + Number(length);
    if (bytes.length < end) return;
    this.#rest = null;
    // "HTTP/1.1 2…"
    this.#onResponse(head[9] === '2' ? null : bytes.toString());
  }
}
