import type { AddressInfo } from 'node:net';
import { http } from '@google-cloud/functions-framework';
import { getTestServer } from '@google-cloud/functions-framework/testing';
import { httpFunction } from '../../src/functions/google-cloud/http.ts';
import { sendTo } from './http-sender.ts';
import type { Platform } from './platform.ts';

export const googleCloud: Platform = {
  name: 'Google Cloud Functions',
  parsesJson: true,
  streams: true,
  async serve(service, timeoutMs) {
    http('bridge', httpFunction(service, timeoutMs));
    const server = getTestServer('bridge');
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    return {
      send: (request) => sendTo(port, request),
      close: () =>
        new Promise((resolve) => {
          server.close(() => resolve());
          server.closeAllConnections();
        }),
    };
  },
};
