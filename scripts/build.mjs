// npm run build: the gateway without node_modules, dist/server.js: beside it what it loads when that is needed, and the Lua
// scripts. Another folder than dist can be given.
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '..');
const dist = resolve(process.argv[2] ?? join(root, 'dist'));

// Packages written as CommonJS expect these three, which an ES module lacks.
const COMMONJS_GLOBALS = `
import { createRequire as bannerCreateRequire } from 'node:module';
const require = bannerCreateRequire(import.meta.url);
const __filename = import.meta.filename;
const __dirname = import.meta.dirname;
`;

rmSync(dist, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: ['src/server.ts'],
  outdir: dist,
  bundle: true,
  format: 'esm',
  // What is imported in the middle of the code (a store, the page of the reference) becomes a file of its own.
  splitting: true,
  platform: 'node',
  target: 'node22',
  sourcemap: true,
  banner: { js: COMMONJS_GLOBALS },
  logLevel: 'warning',
});

// Without it Node reads each file twice to find out what it is.
writeFileSync(join(dist, 'package.json'), '{ "type": "module" }\n');
// The store reads them from ./lua/ beside its own file, and in the bundle that is here.
cpSync(join(root, 'src/store/redis/lua'), join(dist, 'lua'), { recursive: true });
