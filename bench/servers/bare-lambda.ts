/** The least that can answer as a Lambda function with Fastify. */
import awsLambdaFastify from '@fastify/aws-lambda';
import Fastify from 'fastify';

const app = Fastify();
app.get('/healthz', async () => ({ status: 'ok' }));

export const handler = awsLambdaFastify<object>(app, { decorateRequest: false });
