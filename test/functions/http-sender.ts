import { request as sendRequest } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { headersOf, type Received, type Sent } from './platform.ts';

/** Sends a request over HTTP to 127.0.0.1, byte by byte as it is said. */
export function sendTo(port: number, request: Sent): Promise<Received> {
  const { method, url, body } = request;
  return new Promise((resolve, reject) => {
    const headers = [
      ...headersOf(request),
      ...(body === undefined ? [] : [['Content-Length', `${Buffer.byteLength(body)}`] as const]),
    ];
    const outgoing = sendRequest({ host: '127.0.0.1', port, method, path: url, headers: headers.flat(), agent: false });
    outgoing.once('error', reject);
    outgoing.once('response', (response) => {
      const found = Object.entries(response.headers).map(([name, value]) => [name, String(value)]);
      buffer(response).then(
        (bytes) => resolve({ status: response.statusCode ?? 0, headers: Object.fromEntries(found), body: bytes }),
        reject,
      );
    });
    outgoing.end(body);
  });
}
