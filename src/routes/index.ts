import { addAttachmentRoutes } from './attachment.ts';
import { addConnectionRoutes } from './connections.ts';
import { addHealthRoutes } from './health.ts';
import { addMessageRoutes } from './messages.ts';
import { addPublicationRoutes } from './publications.ts';
import { addPublishRoutes } from './publish.ts';
import { addReferenceRoutes } from './reference.ts';
import { addRetainedRoutes } from './retained.ts';
import type { AddRoutes } from './route.ts';
import { addSubscriptionRoutes } from './subscriptions.ts';
import { addTopicRoutes } from './topics.ts';

/** Every resource of the API, in the order of its document. */
export const ROUTES: readonly AddRoutes[] = [
  addConnectionRoutes,
  addAttachmentRoutes,
  addPublishRoutes,
  addPublicationRoutes,
  addMessageRoutes,
  addSubscriptionRoutes,
  addTopicRoutes,
  addRetainedRoutes,
  addHealthRoutes,
  addReferenceRoutes,
];
