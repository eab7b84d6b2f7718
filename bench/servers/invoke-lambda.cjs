// node invoke-lambda.cjs <folder> <path>: loads the function in that folder as Lambda's runtime does, invokes it once with
// an event of an HTTP API, and prints what that took since the process started.
const { join } = require('node:path');

const [, , folder, path] = process.argv;
const event = {
  version: '2.0',
  rawPath: path,
  rawQueryString: '',
  headers: { host: 'localhost:8080' },
  isBase64Encoded: false,
  requestContext: {
    stage: '$default',
    domainName: 'abcde12345.execute-api.eu-central-1.amazonaws.com',
    requestId: 'JKJaXmPLvHcESHA=',
    http: { method: 'GET', sourceIp: '192.0.2.1' },
  },
};

const { handler } = require(join(folder, 'index.cjs'));
handler(event, { getRemainingTimeInMillis: () => 29_000 }).then(({ statusCode, body }) => {
  const milliseconds = performance.now();
  const { user, system } = process.cpuUsage();
  if (statusCode !== 200) throw new Error(`${statusCode}: ${body}`);
  process.stdout.write(JSON.stringify({ milliseconds, cpuMilliseconds: (user + system) / 1000 }));
  process.exit();
});
