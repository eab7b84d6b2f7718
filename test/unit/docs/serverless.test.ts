import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { MAX_WAIT } from '../../../src/plugins/limits.ts';
import { read } from './markdown.ts';

interface Service {
  readonly provider: { readonly runtime: string; readonly architecture: string; readonly environment: object };
  readonly functions: Readonly<
    Record<string, { readonly handler: string; readonly timeout: number; readonly events?: readonly object[] }>
  >;
  readonly resources: { readonly Parameters: Readonly<Record<string, object>> };
}

const { provider, functions, resources } = parse(read('serverless.yml')) as Service;

test('serverless.yml: every handler is one of the bundle, on arm64', () => {
  expect(provider).toMatchObject({ runtime: 'nodejs24.x', architecture: 'arm64' });
  const source = read('src/functions/aws.ts');
  for (const { handler } of Object.values(functions)) {
    const [, name] = /^dist\/aws\/index\.(\w+)$/.exec(handler) ?? [];
    expect(source).toMatch(new RegExp(`export (const|async function) ${name}\\b`));
  }
});

test('serverless.yml: a long poll ends before its function, that before its API, and the keeper before its next run', () => {
  const { api, keeper } = functions;
  expect(api?.timeout).toBeLessThan(30);
  expect(api?.timeout).toBeGreaterThan(MAX_WAIT.function + 1);
  expect(keeper?.timeout).toBeLessThan(60);
  expect(keeper?.events).toEqual([{ schedule: 'rate(1 minute)' }]);
});

test('serverless.yml: every parameter that is referred to is declared, and no secret is a default', () => {
  const text = read('serverless.yml');
  const referred = [...text.matchAll(/Ref: (\w+)/g)].map(([, name = '']) => name);
  const given = [...text.matchAll(/ParameterKey: (\w+)/g)].map(([, name = '']) => name);
  expect([...new Set(referred)].sort()).toEqual(Object.keys(resources.Parameters).sort());
  expect(given.sort()).toEqual(Object.keys(resources.Parameters).sort());
  for (const name of ['StoreUrl', 'MqttUrl', 'ApiKey', 'SecretKey']) {
    expect(resources.Parameters[name]).toMatchObject({ NoEcho: true, Type: 'String' });
  }
});
