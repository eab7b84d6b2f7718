/**
 * A function as a folder that runs without node_modules: index.cjs, the bridge, what it loads when a request needs it, and
 * the Lua scripts. CommonJS, because it starts faster: an ES module that imports node:http evaluates all that node:http exports,
 * fetch and WebSocket among it.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { type BuildOptions, build, type Metafile, type Plugin, type TransformOptions, transform } from 'esbuild';

const root = join(import.meta.dirname, '..');
const require = createRequire(import.meta.url);

/** Packages in files of their own, loaded at their first use: with the store, by requests to brokers, for BRIDGE_CONFIG. */
const ON_DEMAND: Readonly<Record<string, readonly string[]>> = {
  'redis.cjs': ['ioredis'],
  'broker.cjs': ['mqtt', 'mqtt-packet', 'ws'],
  'yaml.cjs': ['yaml'],
};

/**
 * Parts of Node that take as long to load as a request that needs none of them does: they are loaded at the first call.
 */
const BUILTINS_ON_DEMAND = /^(node:)?(crypto|tls)$/;

/**
 * What V8 compiled is kept for the next process, where the platform keeps files for it: in NODE_COMPILE_CACHE, or among the
 * temporary ones. Processes of functions are killed, so it is written while they live.
 */
const INDEX = `const { enableCompileCache, flushCompileCache } = require('node:module');
enableCompileCache();
module.exports = require('./bridge.cjs');
setTimeout(flushCompileCache, 1000).unref();
`;

/** What the bridge never reaches in a function. */
const ABSENT: readonly RegExp[] = [
  // The embedded store, the development broker, the page of the reference.
  /\/store\/sqlite\/index\.ts$/,
  /\/dev-broker\.ts$/,
  /\/reference-page\.ts$/,
  // Fastify's own compilers: it has them made, but the app sets others. MQTT.js's way through SOCKS: nobody can ask for it.
  /^@fastify\/(ajv|fast-json-stringify)-compiler$/,
  /^socks$/,
  // Servers of Fastify's that listen for TLS and HTTP/2, and pino's way to another thread: a platform listens, and takes the log.
  /^node:http2$/,
  /^node:https$/,
  /^thread-stream$/,
  // QUIC needs a package that a function does not have.
  /^node:dgram$/,
];

/**
 * What is asked of these is known when the bundle is made: whether plugins fit Fastify's version, as those do that were
 * installed together, and whether pino runs in the main thread.
 */
const SHORT: Readonly<Record<string, string>> = {
  semver: 'exports.satisfies = () => true;',
  worker_threads: 'exports.isMainThread = true;',
};

const TARGET = { platform: 'node', target: 'node22', logLevel: 'warning' } as const;

const BUNDLED = {
  ...TARGET,
  absWorkingDir: root,
  bundle: true,
  write: false,
  metafile: true,
  define: {
    'import.meta.url': 'importMetaUrl',
    'import.meta.dirname': '__dirname',
    'import.meta.filename': '__filename',
  },
} as const satisfies BuildOptions;

/**
 * Made smaller when it is bundled already. esbuild would make an argument and an arrow function of each package's module
 * otherwise, which V8 takes twice as long to compile as the methods that they are here.
 */
const MINIFIED = {
  ...TARGET,
  format: 'cjs',
  minify: true,
  legalComments: 'none',
  // A part is required then.
  supported: { 'dynamic-import': false },
  banner: "const importMetaUrl=require('node:url').pathToFileURL(__filename).href;",
} as const satisfies TransformOptions;

/** What a file of a bundle is made of: https://esbuild.github.io/api/#metafile */
export type Outputs = Metafile['outputs'];

/** Bundles `entry` into the folder, without what is `absent`. Answers what went into it, by file. */
export async function bundleFunction(entry: string, folder: string, absent = ABSENT): Promise<Outputs> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const main = build({
    ...BUNDLED,
    entryPoints: { bridge: entry },
    // What is imported in the middle of the code becomes a file of its own, and so does what several share.
    format: 'esm',
    splitting: true,
    outdir: folder,
    outExtension: { '.js': '.cjs' },
    plugins: [leaveOut(absent), loadOnDemand, zodInParts],
    // Azure's worker provides it.
    external: ['@azure/functions-core'],
  });
  const parts = Object.entries(ON_DEMAND).map(([file, packages]) =>
    build({
      ...BUNDLED,
      stdin: {
        contents: packages.map((name, index) => `export * as p${index} from '${name}';`).join('\n'),
        resolveDir: root,
      },
      format: 'cjs',
      outfile: join(folder, file),
      plugins: [leaveOut(absent)],
    }),
  );
  const built = await Promise.all([main, ...parts]);
  const outputs: Outputs = Object.assign({}, ...built.map(({ metafile }) => metafile.outputs));
  for (const { path, text } of built.flatMap(({ outputFiles }) => outputFiles)) {
    const { code } = await transform(text, MINIFIED);
    writeFileSync(path, code);
    const output = outputs[relative(root, path)];
    if (output !== undefined) output.bytes = Buffer.byteLength(code);
  }
  writeFileSync(join(folder, 'index.cjs'), INDEX);
  // The store reads them from ./lua/ beside its own file, and in the bundle that is here.
  cpSync(join(root, 'src/store/redis/lua'), join(folder, 'lua'), { recursive: true });
  return outputs;
}

/** What is never reached says so if it is; zod's messages in other languages than English are not used. */
function leaveOut(absent: readonly RegExp[]): Plugin {
  return {
    name: 'leave-out',
    setup({ onResolve, onLoad }) {
      for (const filter of absent) onResolve({ filter }, ({ path }) => ({ path, namespace: 'absent' }));
      onLoad({ filter: /.*/, namespace: 'absent' }, ({ path }) => ({
        contents: `module.exports = () => () => { throw new Error('${path} is not in this bundle'); };`,
      }));
      for (const [name, contents] of Object.entries(SHORT)) {
        onResolve({ filter: new RegExp(`^${name}$`) }, () => ({
          path: name,
          namespace: 'short',
          pluginData: contents,
        }));
      }
      onLoad({ filter: /.*/, namespace: 'short' }, ({ pluginData: contents }) => ({ contents }));
      onResolve({ filter: /\/locales\/index\.js$/ }, ({ path, importer }) =>
        /[\\/]zod[\\/]/.test(importer) ? { path, namespace: 'locales' } : undefined,
      );
      onLoad({ filter: /.*/, namespace: 'locales' }, () => ({ contents: 'export {};' }));
    },
  };
}

/** Puts a module in the place of such a package that loads it when one of its exports is first read, or first called. */
const loadOnDemand: Plugin = {
  name: 'load-on-demand',
  setup({ onResolve, onLoad }) {
    for (const [file, packages] of Object.entries(ON_DEMAND)) {
      for (const [index, name] of packages.entries()) {
        const pluginData = { file, index };
        onResolve({ filter: new RegExp(`^${name}$`) }, () => ({ path: name, namespace: 'on-demand', pluginData }));
      }
      const filter = new RegExp(`^\\./${file}$`);
      onResolve({ filter, namespace: 'on-demand' }, ({ path }) => ({ path, external: true }));
    }
    onLoad({ filter: /.*/, namespace: 'on-demand' }, ({ path, pluginData: { file, index } }) => {
      return { contents: standIn(require(path), `require('./${file}').p${index}`) };
    });
    onResolve({ filter: BUILTINS_ON_DEMAND }, ({ path, namespace }) =>
      namespace === 'builtin' ? { path, external: true } : { path, namespace: 'builtin' },
    );
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: standIn(require(path), `require('${path}')`),
    }));
  },
};

/** Functions are called through one of their own: importers that take them out of the module do not load it by that. */
function standIn(exported: object, required: string): string {
  const members = Object.entries(exported).flatMap(([name, value]) => {
    if (name === 'default' || name === '__esModule') return [];
    const isClass = typeof value !== 'function' || /^[A-Z]/.test(name);
    return isClass ? `get ${name}() { return load().${name}; }` : `${name}: (...args) => load().${name}(...args)`;
  });
  return `let loaded;\nconst load = () => (loaded ??= ${required});\nmodule.exports = { ${members.join(', ')} };`;
}

/** As an export, `z` is an object that holds all of zod; as a namespace that is imported, it is only what is used of it. */
const zodInParts: Plugin = {
  name: 'zod-in-parts',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replace("import { z } from 'zod';", "import * as z from 'zod';"),
      loader: 'ts',
    }));
  },
};
