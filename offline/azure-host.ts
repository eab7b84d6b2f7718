import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse, request as sendRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { type FunctionMetadata, loadApp, type Registered } from './azure-core.ts';

export interface AzureHost {
  readonly port: number;
  /** Runs a function with a timer trigger. */
  runTimer(name: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * Stands in for the host of Azure Functions: one app, loaded by `load`, whose HTTP function answers every request. Bodies
 * stream as they do with the real host: the worker is told of an invocation, and gets its request over HTTP.
 */
export async function startAzureHost(
  load: () => Promise<unknown>,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<AzureHost> {
  const app = await loadApp(load);
  const { HttpUri } = await app.model.getCapabilities({});
  if (HttpUri === undefined) throw new Error('the app does not stream its bodies');
  const [http] = [...app.functions.keys()].filter((name) => triggerOf(app, name)[1].type === 'httpTrigger');
  if (http === undefined) throw new Error('the app has no HTTP function');

  const server = createServer((request, response) => {
    const invocationId = randomUUID();
    const metadata = { Headers: { json: JSON.stringify(joined(request)) } };
    Promise.all([
      invoke(app, http, invocationId, { http: {} }, metadata),
      forward(request, response, Number(new URL(HttpUri).port), invocationId),
    ]).catch((error) => response.destroy(error));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    runTimer: (name) => invoke(app, name, randomUUID(), { json: JSON.stringify({ IsPastDue: false }) }, {}),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function triggerOf({ functions }: Registered, name: string): [string, FunctionMetadata['bindings'][string]] {
  const bindings = Object.entries(functions.get(name)?.metadata.bindings ?? {});
  const trigger = bindings.find(([, { direction }]) => direction === 'in');
  if (trigger === undefined) throw new Error(`${name} has no trigger`);
  return trigger;
}

async function invoke(
  app: Registered,
  name: string,
  invocationId: string,
  data: object,
  triggerMetadata: object,
): Promise<void> {
  const [binding] = triggerOf(app, name);
  const registered = app.functions.get(name);
  if (registered === undefined) throw new Error(`there is no function ${name}`);
  const invocation = app.model.getInvocationModel({
    invocationId,
    metadata: registered.metadata,
    request: { invocationId, inputData: [{ name: binding, data }], triggerMetadata },
    log: () => {},
  });
  const { context, inputs } = await invocation.getArguments();
  await invocation.getResponse(context, await invocation.invokeFunction(context, inputs, registered.handler));
}

/** Hands the request to the worker's HTTP server, and its answer back. */
async function forward(
  request: IncomingMessage,
  response: ServerResponse,
  port: number,
  invocationId: string,
): Promise<void> {
  const { method = 'GET', url = '/', headers } = request;
  const forwarded = { 'x-forwarded-host': headers.host ?? 'localhost', 'x-forwarded-proto': 'http' };
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = sendRequest(
      {
        port,
        method,
        path: url,
        headers: { ...headers, ...forwarded, 'x-ms-invocation-id': invocationId },
        agent: false,
      },
      resolve,
    );
    outgoing.once('error', reject);
    pipeline(request, outgoing).catch(reject);
  });
  const {
    'x-ms-invocation-id': _ours,
    connection: _connection,
    'transfer-encoding': _encoding,
    ...rest
  } = answer.headers;
  response.writeHead(answer.statusCode ?? 500, rest);
  await pipeline(answer, response);
}

/** Headers as the host hands them over: one value for each name. */
function joined({ rawHeaders }: IncomingMessage): Record<string, string> {
  const found = new Map<string, string>();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const [name = '', value = ''] = rawHeaders.slice(index, index + 2);
    const known = [...found.keys()].find((other) => other.toLowerCase() === name.toLowerCase()) ?? name;
    found.set(known, found.has(known) ? `${found.get(known)},${value}` : value);
  }
  return Object.fromEntries(found);
}
