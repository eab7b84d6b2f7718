// serverless.yml for `npm run offline`: the same functions, with the environment of the command instead of the stack's parameters.
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { parse } = require('yaml');

const service = parse(readFileSync(join(__dirname, 'serverless.yml'), 'utf8'));
const PASSED_ON =
  /^(STORE_|MQTT_URL$|BRIDGE_|ALLOW_URLS$|NODE_ID$|LEASE_TTL_MS$|LOG_LEVEL$|MAX_PAYLOAD$|REQUIRE_TLS$|HOST$|PORT$)/;
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => PASSED_ON.test(name)));

// What the emulator does not have, and says so at every start.
const { vpc: _vpc, ...provider } = service.provider;
const { stream: _stream, ...functions } = service.functions;

module.exports = {
  ...service,
  // serverless-offline 13 does not know nodejs24.x; the functions run on the Node that runs it, whatever is said here.
  provider: { ...provider, runtime: 'nodejs22.x', environment: { ...environment, BRIDGE_MODE: 'function' } },
  functions,
  plugins: ['./offline/node_modules/serverless-offline/src/index.js'],
};
