import { z } from 'zod';
import type { Bridge } from '../bridge/facade.ts';
import { Problem } from '../errors/problem.ts';
import { checkTopicName } from '../mqtt/topics.ts';
import { type App, inScope } from '../plugins/app.ts';
import { refuseBreach } from '../plugins/validation.ts';
import { invalid } from '../schemas/faults.ts';
import { publishResult } from '../schemas/message.ts';
import { answerPublish, KEPT_PROBLEMS, publishSuccesses } from './publish-answers.ts';
import { readPreferences } from './publish-preferences.ts';
import { AT_BROKER, bytes, empty, responses } from './responses.ts';
import { type AddRoutes, type RouteDependencies, TAGS } from './route.ts';
import {
  publishByPath,
  publishByQuery,
  publishHeaders,
  readByPath,
  readByQuery,
  readPublish,
  topicOf,
} from './topic-parameters.ts';
import { matchesTag, REPRESENTATION_HEADERS, representationHeaders } from './topic-representation.ts';

const topicPath = z.object({
  '*': z
    .string()
    .describe('The Topic Name: percent-decoded per segment, and empty segments count.')
    .meta({ examples: ['plant/7/cmd'] }),
});

const BY_PATH = { url: '/v1/topics/*', suffix: '', params: topicPath, read: readByPath, publish: publishByPath };
const BY_QUERY = {
  url: '/v1/topics',
  suffix: 'ByQuery',
  params: z.object({}),
  read: readByQuery,
  publish: publishByQuery,
};

const readable = z.looseObject({ 'if-none-match': z.string().optional().describe('ETags that the caller has.') });

const PUBLISHED = publishSuccesses({
  description: 'The broker has acknowledged (QoS 1 and 2)',
  schema: publishResult,
});
const BROKER_PROBLEMS = ['not-owner', 'overloaded', 'payload-too-large', ...AT_BROKER] as const;

/** What each method publishes: PUT and DELETE answer once the broker has it, so that a GET after them sees it. */
const VERBS = [
  { method: 'POST', retain: false, defaultQos: 0, operationId: 'publishToTopic', summary: 'Publish the body' },
  { method: 'PUT', retain: true, defaultQos: 1, operationId: 'putTopic', summary: 'Publish the body, retained' },
  { method: 'DELETE', retain: true, defaultQos: 1, operationId: 'clearTopic', summary: 'Clear the retained message' },
] as const;

const NOTHING = new Uint8Array(0);

export const addTopicRoutes: AddRoutes = (app, dependencies) => {
  inScope(app, (scope) => {
    scope.removeAllContentTypeParsers();
    // Whatever it says that it is, the body is the payload.
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    for (const way of [BY_PATH, BY_QUERY]) {
      addReading(scope, way, dependencies.bridge);
      addPublishing(scope, way, dependencies);
    }
  });
};

function addReading(app: App, way: typeof BY_PATH | typeof BY_QUERY, bridge: Bridge): void {
  for (const method of ['GET', 'HEAD'] as const) {
    app.route({
      method,
      url: way.url,
      exposeHeadRoute: false,
      config: { produces: null, swagger: { exposeHeadRoute: true } },
      schema: {
        // The generator adds `-head` to that of HEAD.
        operationId: `getTopic${way.suffix}`,
        summary: method === 'GET' ? 'Read the retained message' : 'Read the headers of the retained message',
        description: 'The body is the payload, the media type is the message’s Content Type.',
        tags: TAGS.topics,
        params: way.params,
        querystring: way.read,
        headers: readable,
        response: responses(
          {
            200: bytes('The retained message', REPRESENTATION_HEADERS),
            304: empty('The caller has it already', { etag: REPRESENTATION_HEADERS.etag }),
          },
          'no-retained-message',
          ...BROKER_PROBLEMS,
        ),
      },
      handler: async (request, reply) => {
        const topic = topicOf(request.raw.url ?? '', request.query);
        checkTopic(topic);
        const message = await bridge.retainedMessage(request.query.broker, topic);
        if (message === null || (message.payload.length === 0 && message.oversize === undefined)) {
          throw new Problem('no-retained-message', { detail: `Nothing is retained at "${topic}".` });
        }
        if (message.oversize !== undefined) {
          const detail = `The retained message is ${message.oversize} bytes, more than this bridge keeps.`;
          throw new Problem('payload-too-large', { detail });
        }
        const headers = representationHeaders(message);
        reply.headers(headers);
        if (matchesTag(request.headers['if-none-match'], String(headers.etag))) return reply.code(304).send();
        return reply.send(message.payload);
      },
    });
  }
}

function addPublishing(
  app: App,
  way: typeof BY_PATH | typeof BY_QUERY,
  { bridge, limits, maxPayload }: RouteDependencies,
): void {
  for (const { method, retain, defaultQos, operationId, summary } of VERBS) {
    app.route({
      method,
      url: way.url,
      bodyLimit: limits.payload,
      schema: {
        operationId: `${operationId}${way.suffix}`,
        summary,
        tags: TAGS.topics,
        params: way.params,
        querystring: way.publish,
        headers: publishHeaders,
        ...(method === 'DELETE'
          ? {}
          : { consumes: ['*/*'], body: z.any().describe('The payload, byte by byte; its Content-Type is passed on.') }),
        response: responses(PUBLISHED, 'outcome-unknown', ...KEPT_PROBLEMS, ...BROKER_PROBLEMS),
      },
      handler: async (request, reply) => {
        const { query, headers } = request;
        const body = method === 'DELETE' || !(request.body instanceof Uint8Array) ? NOTHING : request.body;
        if (method === 'PUT' && body.length === 0) {
          throw invalid([{ pointer: '', detail: 'An empty retained message would clear the topic: use DELETE.' }]);
        }
        const preferences = readPreferences(headers);
        const {
          broker,
          request: one,
          fingerprint,
        } = readPublish({ rawUrl: request.raw.url ?? '', query, headers, body }, { retain, defaultQos, maxPayload });
        const order = { items: [one], batch: false, preferences, fingerprint };
        return answerPublish(reply, order, {
          publish: (requests) => bridge.publishPooled(broker, requests),
          publishKept: (kept) => bridge.publishPooledKept(broker, kept),
        });
      },
    });
  }
}

function checkTopic(topic: string): void {
  refuseBreach('topic', 'The Topic Name', checkTopicName(topic));
}
