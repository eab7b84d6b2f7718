/** What Azure Functions runs: registers `bridge` for every request, and `keeper` on a schedule. */
import { app } from '@azure/functions';
import { httpHandler } from './azure/http.ts';
import { FUNCTION_TIMEOUT, HTTP_TIMEOUT } from './azure/timeouts.ts';
import { runKeeper } from './keeping.ts';
import { createService } from './service.ts';

const EVERY_MINUTE = '0 * * * * *';

const service = createService(process.env);

app.setup({ enableHttpStream: true });

app.http('bridge', {
  route: '{*path}',
  methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
  // The bridge authenticates its callers itself.
  authLevel: 'anonymous',
  handler: httpHandler(service, HTTP_TIMEOUT),
});

app.timer('keeper', {
  schedule: EVERY_MINUTE,
  handler: async () => {
    await runKeeper(await service.instance(), FUNCTION_TIMEOUT);
  },
});
