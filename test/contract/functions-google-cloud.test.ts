import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { http } from '@google-cloud/functions-framework';
import { getTestServer } from '@google-cloud/functions-framework/testing';
import { expect, it } from 'vitest';
import { httpFunction } from '../../src/functions/google-cloud/http.ts';
import { bridgeService, describeAdapter } from '../functions/adapter-suite.ts';
import { googleCloud } from '../functions/google-cloud-platform.ts';

describeAdapter(googleCloud);

it('Google Cloud Functions: what a caller waits for ends when the caller goes away', async () => {
  const { promise: waiting, resolve: begin } = Promise.withResolvers<AbortSignal>();
  const service = await bridgeService({
    readMessages: (_id, { signal }) => {
      begin(signal);
      return new Promise(() => {});
    },
  });
  http('bridge', httpFunction(service, 60_000));
  const server = getTestServer('bridge');
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const path = '/v1/connections/a/messages?wait=20';
  const caller = request({ host: '127.0.0.1', port, path, headers: { host: 'localhost:8080' } });
  caller.on('error', () => {});
  caller.end();
  const signal = await waiting;
  expect(signal.aborted).toBe(false);
  const ended = new Promise((resolve) => signal.addEventListener('abort', resolve));
  caller.destroy();
  await ended;
  await new Promise((resolve) => server.close(resolve));
});
