/** What Azure Functions runs: registers `bridge` for every request, and `keeper` on a schedule. */
import { app } from '@azure/functions';
import { httpHandler } from './azure/http.ts';
import { lazyInstance } from './instance.ts';
import { Invocations } from './invocations.ts';
import { runKeeper } from './keeping.ts';

/** Milliseconds: `functionTimeout` in host.json. */
const FUNCTION_TIMEOUT = 300_000;
const EVERY_MINUTE = '0 * * * * *';

const invocations = new Invocations();
const service = { invocations, instance: lazyInstance(process.env, invocations) };
// Requests wait for it in any case. What fails fails again there.
service.instance().catch(() => undefined);

app.setup({ enableHttpStream: true });

app.http('bridge', {
  route: '{*path}',
  methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
  // The bridge authenticates its callers itself.
  authLevel: 'anonymous',
  handler: httpHandler(service),
});

app.timer('keeper', {
  schedule: EVERY_MINUTE,
  handler: async () => {
    await runKeeper(await service.instance(), FUNCTION_TIMEOUT);
  },
});
