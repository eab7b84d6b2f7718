// Ends with 0 when the bridge of this container answers /healthz, and with 1 otherwise: the image has no curl.
import { request as http } from 'node:http';
import { request as https } from 'node:https';

const { PORT = '8080', TLS_CERT } = process.env;
// The certificate is for the name that callers use.
const options = { host: '127.0.0.1', port: Number(PORT), path: '/healthz', timeout: 3_000, rejectUnauthorized: false };
const request = (TLS_CERT ? https : http)(options, ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1));
request.on('timeout', () => process.exit(1));
request.on('error', () => process.exit(1));
request.end();
