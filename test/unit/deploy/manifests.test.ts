import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { environment } from '../../../src/config/environment.ts';
import { loadConfig } from '../../../src/config.ts';
import { imageEnvironment, readCompose, readDeploy, readManifest } from '../../helpers/deployment.ts';
import { ROOT, read } from '../docs/markdown.ts';

/** Seconds that a bridge takes to end, at most. */
const STOP = 10;
const KEYS = { BRIDGE_API_KEY: 'key', BRIDGE_SECRET_KEY: Buffer.alloc(32, 1).toString('base64') };

interface Probe {
  httpGet: { path: string; port: string };
}
interface Container {
  image: string;
  ports: { name: string; containerPort: number }[];
  envFrom: { configMapRef: { name: string } }[];
  env: {
    name: string;
    valueFrom: { secretKeyRef?: { name: string; key: string }; fieldRef?: { fieldPath: string } };
  }[];
  startupProbe: Probe;
  livenessProbe: Probe;
  readinessProbe: Probe;
  lifecycle: { preStop: { sleep: { seconds: number } } };
}
interface Deployment {
  metadata: { name: string };
  spec: {
    selector: { matchLabels: object };
    template: {
      metadata: { labels: object };
      spec: { terminationGracePeriodSeconds: number; containers: [Container] };
    };
  };
}

const image = imageEnvironment();
const { services } = readCompose(KEYS);
const bridges = Object.values(services).flatMap(({ environment: own }) => (own?.NODE_ID === undefined ? [] : [own]));
const configuration = readManifest<{ metadata: { name: string }; data: Record<string, string> }>(
  'kubernetes/configuration.yaml',
);
const deployment = readManifest<Deployment>('kubernetes/deployment.yaml');
const pod = deployment.spec.template;
const [container] = pod.spec.containers;
const { paths } = parse(read('openapi/openapi.yaml')) as { paths: Record<string, object> };

function faultless(variables: Record<string, string>) {
  return loadConfig(variables, () => {
    throw new Error('nothing names a file');
  });
}

test('every variable that is set exists', () => {
  const known = Object.keys(environment.shape);
  const { NODE_ENV, ...own } = image;
  expect(NODE_ENV).toBe('production');
  const inPods = [...Object.keys(configuration.data), ...container.env.map(({ name }) => name)];
  for (const name of [...Object.keys(own), ...bridges.flatMap(Object.keys), ...inPods]) expect(known).toContain(name);
});

describe('Dockerfile', () => {
  const dockerfile = readDeploy('Dockerfile');
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, names = '']) => names.split(' '));

  test('copies what is there, and what the build is shown', () => {
    const shown = readDeploy('Dockerfile.dockerignore').split('\n');
    expect(copied).toContain('src');
    for (const name of copied) {
      expect(existsSync(new URL(name, ROOT)), name).toBe(true);
      expect(shown).toContain(`!${name}`);
    }
  });

  test('alone it has a configuration, once a key is given', () => {
    const { host, port } = faultless({ ...image, BRIDGE_API_KEY: 'key' });
    expect(host).toBe('0.0.0.0');
    expect(dockerfile).toContain(`EXPOSE ${port}\n`);
  });
});

describe('docker-compose.yml', () => {
  test('three bridges with names of their own, a broker and a Redis: a configuration without fault', () => {
    expect(new Set(bridges.map(({ NODE_ID }) => NODE_ID)).size).toBe(3);
    for (const own of bridges) {
      expect(faultless({ ...image, ...own }).store).toMatchObject({ kind: 'redis', url: 'redis://redis:6379' });
    }
  });

  test('asks for the two keys, which env.example names', () => {
    const example = [...readDeploy('env.example').matchAll(/^(\w+)=$/gm)].map(([, name]) => name);
    expect(example.sort()).toEqual(Object.keys(KEYS).sort());
    for (const name of example) {
      const { [name as keyof typeof KEYS]: _, ...others } = KEYS;
      expect(() => readCompose(others)).toThrow(`${name}: set it in .env`);
    }
  });

  test('the balancer sends to each bridge, and asks each whether it is ready', () => {
    const balancer = readDeploy('haproxy.cfg');
    const servers = [...balancer.matchAll(/^ +server (\S+) (\S+)$/gm)].map(([, name, address]) => [name, address]);
    expect(servers).toEqual(bridges.map(({ NODE_ID }) => [NODE_ID, `${NODE_ID}:${image.PORT}`]));
    const [, path = ''] = /^ +option httpchk GET (\S+)$/m.exec(balancer) ?? [];
    expect(paths[path]).toHaveProperty('get');
  });

  test('leaves each bridge the time to end', () => {
    for (const [name, { stop_grace_period: grace = '0s' }] of Object.entries(services)) {
      if (name.startsWith('bridge-')) expect(Number.parseInt(grace, 10)).toBeGreaterThan(STOP);
    }
  });

  test('mounts files that are there', () => {
    const files = Object.values(services).flatMap(({ volumes = [] }) => volumes.filter((own) => own.startsWith('./')));
    expect(files).toHaveLength(2);
    for (const file of files) readDeploy(file.split(':')[0] ?? '');
  });
});

describe('Kubernetes', () => {
  test('a configuration without fault, and a name that is the pod’s', () => {
    const secrets = { ...KEYS, STORE_URL: 'rediss://:password@redis.example.com' };
    const named = container.env.filter(({ valueFrom }) => valueFrom.secretKeyRef !== undefined);
    expect(named.map(({ name }) => name).sort()).toEqual(Object.keys(secrets).sort());
    for (const { name, valueFrom } of named) expect(valueFrom.secretKeyRef?.key).toBe(name);
    const nodeId = container.env.find(({ name }) => name === 'NODE_ID');
    expect(nodeId?.valueFrom.fieldRef?.fieldPath).toBe('metadata.name');
    faultless({ ...image, ...configuration.data, ...secrets, NODE_ID: 'mqtt-http-bridge-5d9c7b6f4-x2x9z' });
  });

  test('the secret is the one that the README makes', () => {
    const [, name = '', literals = ''] =
      /create secret generic (\S+) \\\n((?: {2}--from-literal.*\n)+)/.exec(readDeploy('README.md')) ?? [];
    const made = [...literals.matchAll(/--from-literal=(\w+)=/g)].map(([, key]) => `${name} ${key}`);
    const used = container.env.flatMap(({ valueFrom: { secretKeyRef: ref } }) =>
      ref ? [`${ref.name} ${ref.key}`] : [],
    );
    expect(made.sort()).toEqual(used.sort());
  });

  test('probes ask what is there, where the bridge listens', () => {
    for (const { httpGet } of [container.startupProbe, container.livenessProbe, container.readinessProbe]) {
      expect(paths[httpGet.path]).toHaveProperty('get');
      expect(container.ports.find(({ name }) => name === httpGet.port)?.containerPort).toBe(Number(image.PORT));
    }
  });

  test('a pod has the time to be left, and to end', () => {
    const { preStop } = container.lifecycle;
    expect(pod.spec.terminationGracePeriodSeconds).toBeGreaterThan(preStop.sleep.seconds + STOP);
  });

  test('the parts belong together, and kustomization.yaml has them all', () => {
    const { name } = deployment.metadata;
    const labels = pod.metadata.labels;
    expect(deployment.spec.selector.matchLabels).toEqual(labels);
    expect(readManifest('kubernetes/service.yaml')).toMatchObject({ spec: { selector: labels } });
    expect(readManifest('kubernetes/disruption-budget.yaml')).toMatchObject({
      spec: { selector: { matchLabels: labels } },
    });
    expect(readManifest('kubernetes/autoscaler.yaml')).toMatchObject({ spec: { scaleTargetRef: { name } } });
    expect(container.envFrom).toEqual([{ configMapRef: { name: configuration.metadata.name } }]);
    const { resources } = readManifest<{ resources: string[] }>('kubernetes/kustomization.yaml');
    const others = readdirSync(new URL('deploy/kubernetes/', ROOT)).filter((file) => file !== 'kustomization.yaml');
    expect(resources.toSorted()).toEqual(others.sort());
  });

  test('the image has the version of the project', () => {
    expect(container.image).toBe(`mqtt-http-bridge:${JSON.parse(read('package.json')).version}`);
  });
});
