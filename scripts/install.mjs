// Installs what a fresh clone lacks: the packages and, with --servers, what the tests need beyond them: the programs that
// they start, QUIC's package, and the emulator of AWS Lambda. Silent and fast when all is there. Runs before anything is installed, on the machine's
// own Node: no dependency, Node 20's syntax.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Debian's package for each program that the tests start. */
const SERVERS = {
  mosquitto: 'mosquitto',
  mosquitto_passwd: 'mosquitto',
  mosquitto_pub: 'mosquitto-clients',
  mosquitto_sub: 'mosquitto-clients',
  'redis-server': 'redis-server',
  openssl: 'openssl',
};

/** Whether node_modules is what package-lock.json says: npm notes there, at the end, what it has installed. */
function packagesMatch() {
  const wanted = readJson('package-lock.json')?.packages;
  const installed = readJson('node_modules/.package-lock.json')?.packages;
  if (wanted === undefined || installed === undefined || !existsSync(join(root, 'node_modules/.bin/node')))
    return false;
  const same = (path) =>
    wanted[path]?.version === installed[path].version && wanted[path].integrity === installed[path].integrity;
  // Not installed may only be what is for other platforms.
  const missing = ([path, entry]) => path !== '' && !(entry.optional || entry.devOptional || path in installed);
  return Object.keys(installed).every(same) && !Object.entries(wanted).some(missing);
}

/** A JSON file of the project; null when there is none. */
function readJson(path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8'));
  } catch {
    return null;
  }
}

function installPackages() {
  console.log('Installing the packages of package-lock.json (npm ci)…');
  // The `node` of node_modules is about to be removed: npm and its scripts must run on the machine's own.
  const path = process.env.PATH.split(delimiter).filter((entry) => !entry.includes('node_modules'));
  run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], {
    env: { ...process.env, PATH: path.join(delimiter) },
    shell: process.platform === 'win32',
  });
  if (!existsSync(join(root, 'node_modules/.bin/node'))) {
    throw new Error(
      'npm ran no install scripts, and so installed no Node 24: run "npm ci --ignore-scripts=false" and try again.',
    );
  }
}

/** QUIC's package has a folder, a lock file and a command of its own: it has no binary for every platform. */
function quicMatches() {
  const [name, wanted] = Object.entries(readJson('quic/package.json').dependencies)[0];
  return readJson(`quic/node_modules/${name}/package.json`)?.version === wanted;
}

function installQuic() {
  console.log('Installing the optional package for QUIC, which the tests need too (npm run quic:install)…');
  try {
    run('npm', ['run', '--silent', 'quic:install'], { shell: process.platform === 'win32' });
  } catch (cause) {
    const command = 'npm run quic:install';
    throw new Error(`The tests need the optional package for QUIC. Run this, then try again:\n\n  ${command}\n`, {
      cause,
    });
  }
}

/** The emulator of AWS Lambda has a folder, a lock file and a command of its own: it is heavy, and few need it. */
function offlineMatches() {
  const wanted = Object.entries(readJson('offline/package.json').dependencies);
  return wanted.every(([name, version]) => readJson(`offline/node_modules/${name}/package.json`)?.version === version);
}

function installOffline() {
  console.log('Installing the emulator of AWS Lambda (npm run offline:install)…');
  run('npm', ['run', '--silent', 'offline:install'], { shell: process.platform === 'win32' });
}

function installServers() {
  const missing = missingPackages();
  if (missing.length === 0) return;
  const packages = missing.join(' ');
  const asRoot = rootPrefix();
  if (asRoot === null || find('apt-get') === null) {
    const command = find('brew')
      ? 'brew install mosquitto redis openssl'
      : `sudo apt-get update && sudo apt-get install -y ${packages}`;
    throw new Error(
      `The tests need programs that are not installed (${packages}). Run this, then try again:\n\n  ${command}\n`,
    );
  }
  console.log(`Installing the servers that the tests start (apt-get install ${packages})…`);
  const [command, ...args] = [...asRoot, 'sh', '-c', APT_SCRIPT, 'sh', ...missing];
  run(command, args);
  const still = missingPackages();
  if (still.length > 0)
    throw new Error(`apt-get installed ${packages}, but these are still missing: ${still.join(' ')}`);
}

// Debian starts a server when it is installed. The tests start their own, so policy-rc.d says no meanwhile, unless the
// machine has a policy already. The package lists are fetched only when the ones at hand do not do.
const APT_SCRIPT = `
  set -e
  export DEBIAN_FRONTEND=noninteractive
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 1' INT TERM
    printf '#!/bin/sh\\nexit 101\\n' > $policy
    chmod 755 $policy
  fi
  install() { apt-get -o DPkg::Lock::Timeout=120 -qq install -y --no-install-recommends "$@" > /dev/null; }
  if apt-get -qq --simulate install "$@" > /dev/null 2>&1 && install "$@" 2> /dev/null; then exit 0; fi
  apt-get -o DPkg::Lock::Timeout=120 -qq update
  install "$@"
`;

function missingPackages() {
  const missing = Object.entries(SERVERS).filter(([program]) => find(program) === null);
  return [...new Set(missing.map(([, debianPackage]) => debianPackage))];
}

/** Where a program is; servers may be where the PATH of an ordinary user does not lead. */
function find(program) {
  for (const directory of [...process.env.PATH.split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin']) {
    const file = join(directory, program);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not here.
    }
  }
  return null;
}

/** What to put before a command so that root runs it, or null when that takes a password. */
function rootPrefix() {
  if (process.getuid?.() === 0) return [];
  const withoutPassword = spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0;
  return withoutPassword ? ['sudo', '-n'] : null;
}

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (status !== 0) throw new Error(`${command} ${args[0]} failed${error ? `: ${error.message}` : ''}`);
}

try {
  if (!packagesMatch()) installPackages();
  if (process.argv.includes('--offline') && !offlineMatches()) installOffline();
  if (process.argv.includes('--servers')) {
    if (!quicMatches()) installQuic();
    if (!offlineMatches()) installOffline();
    installServers();
  }
} catch (error) {
  console.error(`\n${error.message}`);
  process.exitCode = 1;
}
