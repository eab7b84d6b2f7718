import type { HttpHandler } from '@azure/functions';
import { type AzureHost, startAzureHost } from '../../offline/azure-host.ts';
import { httpHandler } from '../../src/functions/azure/http.ts';
import { sendTo } from './http-sender.ts';
import type { Platform } from './platform.ts';

/** A process of Azure Functions has one app: its function is registered once, and serves what was asked for last. */
let handle: HttpHandler | null = null;
let host: Promise<AzureHost> | null = null;

async function register(): Promise<void> {
  const { app } = await import('@azure/functions');
  app.setup({ enableHttpStream: true });
  app.http('bridge', {
    route: '{*path}',
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
    authLevel: 'anonymous',
    handler: (request, context) => handle?.(request, context) ?? { status: 404 },
  });
}

export const azure: Platform = {
  name: 'Azure Functions',
  streams: true,
  async serve(service, timeoutMs) {
    handle = httpHandler(service, timeoutMs);
    host ??= startAzureHost(register, { host: '127.0.0.1', port: 0 });
    const { port } = await host;
    return { send: (request) => sendTo(port, request), close: async () => {} };
  },
};
