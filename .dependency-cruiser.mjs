// Who may import whom (docs: DESIGN §5): server, functions → compose → app → routes → bridge → ports ← store.
// Type-only imports count, in cycles too: what a file must know to compile is what it depends on.
import typescript from 'typescript';

// Without a compiler API that it knows (TypeScript 7 has none), dependency-cruiser skips every .ts file and passes.
if (typeof typescript.createSourceFile !== 'function') {
  throw new Error('dependency-cruiser needs the "typescript" dev dependency to be @typescript/typescript6');
}

/** Each layer: its files, and the layers below that it may import. A file of src that is in no layer is a fault. */
const layers = {
  mqtt: { files: '^src/mqtt/', below: [] },
  errors: { files: '^src/errors/', below: ['mqtt'] },
  tls: { files: '^src/tls/', below: [] },
  once: { files: '^src/once\\.ts$', below: [] },
  schemas: { files: '^src/schemas/', below: ['mqtt', 'errors', 'tls'] },
  config: { files: '^src/config(/|\\.ts$)', below: ['mqtt', 'errors', 'tls'] },
  ports: { files: '^src/bridge/ports\\.ts$', below: ['mqtt', 'errors'] },
  store: { files: '^src/store/', below: ['ports', 'leaves'] },
  bridge: { files: '^src/bridge/(?!ports\\.ts$)', below: ['ports', 'leaves'] },
  auth: { files: '^src/auth/', below: ['leaves'] },
  plugins: { files: '^src/plugins/', below: ['auth', 'bridge', 'ports', 'leaves'] },
  routes: { files: '^src/routes/', below: ['plugins', 'auth', 'bridge', 'ports', 'leaves'] },
  app: { files: '^src/app\\.ts$', below: ['routes', 'plugins', 'auth', 'bridge', 'ports', 'leaves'] },
  devBroker: { files: '^src/dev-broker(/|\\.ts$)', below: ['leaves'] },
  compose: {
    files: '^src/(compose|secret-key-file)\\.ts$',
    below: ['app', 'devBroker', 'plugins', 'auth', 'bridge', 'ports', 'store', 'leaves'],
  },
  server: { files: '^src/(server|greeting)\\.ts$', below: ['compose', 'app', 'leaves'] },
  functions: { files: '^src/functions/', below: ['compose', 'app', 'leaves'] },
};
const leaves = ['mqtt', 'errors', 'tls', 'once', 'schemas', 'config'];

/** Packages and built-in modules that only some files may know. */
const libraries = [
  { name: 'mqtt', modules: 'mqtt', only: ['^src/bridge/link/mqtt-client\\.ts$'] },
  { name: 'mqtt-packet', modules: 'mqtt-packet', only: ['^src/bridge/', layers.devBroker.files] },
  { name: 'aedes', modules: 'aedes', only: [layers.devBroker.files] },
  { name: 'ioredis', modules: 'ioredis', only: ['^src/store/redis/'] },
  { name: 'aws', modules: '@fastify/aws-lambda', only: ['^src/functions/aws/'] },
  { name: 'azure', modules: '@azure/functions', only: ['^src/functions/azure(/|\\.ts$)'] },
  { name: 'google', modules: '@google-cloud/functions-framework', only: ['^src/functions/google-cloud(/|\\.ts$)'] },
  { name: 'sqlite', modules: 'node:sqlite', only: ['^src/store/sqlite/'] },
  {
    name: 'fastify',
    modules: '(fastify|fastify-type-provider-zod|@fastify/[^/]+|@scalar/[^/]+)',
    only: ['server', 'functions', 'compose', 'app', 'routes', 'plugins'].map((layer) => layers[layer].files),
  },
];

const anyLayer = Object.values(layers).map(({ files }) => files);

const layerRules = Object.entries(layers).map(([name, { files, below }]) => {
  const allowed = below.flatMap((layer) => (layer === 'leaves' ? leaves : [layer]));
  return {
    name: `layer-${name}`,
    comment: `${name} may import, of src: itself${allowed.map((layer) => `, ${layer}`).join('')}`,
    severity: 'error',
    from: { path: files },
    to: { path: '^src/', pathNot: [files, ...allowed.map((layer) => layers[layer].files)] },
  };
});

const libraryRules = libraries.map(({ name, modules, only }) => ({
  name: `library-${name}`,
  comment: `only ${only.join(', ')} may import it`,
  severity: 'error',
  from: { path: '^src/', pathNot: only },
  // A built-in module is known by its name, a package by its path.
  to: { path: `(^|node_modules/)${modules}(/|$)` },
}));

export default {
  forbidden: [
    ...layerRules,
    ...libraryRules,
    {
      name: 'mqtt-is-pure',
      comment: 'src/mqtt is pure: no package, and of the built-in modules only node:buffer',
      severity: 'error',
      from: { path: layers.mqtt.files },
      to: { pathNot: [layers.mqtt.files, '^(node:)?buffer$'] },
    },
    {
      name: 'in-a-layer',
      comment: 'every file of src belongs to a layer: add a new one to the table in .dependency-cruiser.mjs',
      severity: 'error',
      from: { path: '^src/', pathNot: anyLayer },
      to: {},
    },
    {
      name: 'no-cycle',
      comment: 'two files that import each other are one file, or lack a third that both import',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-orphan',
      comment: 'nothing imports it and it imports nothing',
      severity: 'error',
      from: { orphan: true, path: '^src/' },
      to: {},
    },
    {
      name: 'no-unresolvable',
      comment: 'the import leads nowhere',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-dev-dependency',
      comment: 'what runs in production may only import "dependencies"',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    // Not in the list of built-in modules that Node gives out: it exists with its prefix only.
    builtInModules: { add: ['node:sqlite'] },
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
