/** (a) What HTTP and validation cost alone: the body is validated, and nothing is published. */
import { servePublish } from './publish-app.ts';

await servePublish(async ({ qos }) => ({ qos, reasonCode: 0 }));
