import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { temporaryDirectory } from './temporary.ts';

/** PEM strings, and the files that hold them for programs that want a path. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface Certificates {
  /** Signed all of those below but `stranger`. */
  readonly ca: Certificate;
  /** For localhost, 127.0.0.1 and ::1. */
  readonly server: Certificate;
  /** For the host `elsewhere.test`. */
  readonly wrongHost: Certificate;
  /** For localhost, but valid until yesterday only. */
  readonly expired: Certificate;
  /** For client authentication; common name `test-client`. */
  readonly client: Certificate;
  /** The client's key, encrypted with `passphrase`. */
  readonly encryptedClientKey: string;
  readonly passphrase: string;
  /** For client authentication, but self-signed: the CA does not know it. */
  readonly stranger: Certificate;
  /** Another one, of the CA unless `issuer` says who else. */
  issue(request: CertificateRequest): Promise<Certificate>;
}

export interface CertificateRequest {
  /** Of its files. */
  readonly name: string;
  readonly commonName: string;
  /** Lines of an OpenSSL extension section. */
  readonly extensions: string;
  /** From now (2 when not said); negative: it ended before it began, which every verifier calls expired. */
  readonly days?: number;
  /** EC on P-256 when not said. */
  readonly algorithm?: 'ec' | 'rsa';
  /** Of an RSA key; 2048 when not said. */
  readonly bits?: number;
  readonly issuer?: Certificate;
}

/** Lines of extensions. */
export const EXTENSIONS = {
  localServer: 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\nextendedKeyUsage=serverAuth\n',
  client: 'extendedKeyUsage=clientAuth\n',
  authority: 'basicConstraints=critical,CA:TRUE\n',
} as const;

const openssl = async (...args: string[]) => {
  await promisify(execFile)('openssl', args);
};

/** Generates them with the openssl command into `directory`: a new temporary one when not said. */
export async function createCertificates(directory = temporaryDirectory('certificates')): Promise<Certificates> {
  const ca = await selfSigned(directory, 'ca', 'Test CA', 'CA:TRUE');
  const local = EXTENSIONS.localServer;
  const elsewhere = 'subjectAltName=DNS:elsewhere.test\nextendedKeyUsage=serverAuth\n';
  const [server, wrongHost, expired, client, stranger] = await Promise.all([
    signed(directory, ca, { name: 'server', commonName: 'localhost', extensions: local }),
    signed(directory, ca, { name: 'wrong-host', commonName: 'elsewhere.test', extensions: elsewhere }),
    signed(directory, ca, { name: 'expired', commonName: 'localhost', extensions: local, days: -1 }),
    signed(directory, ca, {
      name: 'client',
      commonName: 'test-client',
      extensions: EXTENSIONS.client,
    }),
    selfSigned(directory, 'stranger', 'stranger', 'CA:FALSE'),
  ]);
  const passphrase = 'open sesame';
  const encrypted = join(directory, 'client-encrypted.key');
  await openssl('pkcs8', '-topk8', '-in', client.keyFile, '-out', encrypted, '-passout', `pass:${passphrase}`);
  const encryptedClientKey = await readFile(encrypted, 'utf8');
  const issue = (request: CertificateRequest) => signed(directory, request.issuer ?? ca, request);
  return { ca, server, wrongHost, expired, client, encryptedClientKey, passphrase, stranger, issue };
}

const newKey = ({ algorithm = 'ec', bits = 2048 }: Pick<CertificateRequest, 'algorithm' | 'bits'> = {}) =>
  algorithm === 'rsa'
    ? ['-newkey', `rsa:${bits}`, '-nodes']
    : ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

async function selfSigned(directory: string, name: string, commonName: string, basicConstraints: string) {
  const files = filesOf(directory, name);
  const extension = `basicConstraints=critical,${basicConstraints}`;
  const subject = ['-subj', `/CN=${commonName}`, '-addext', extension, '-days', '2'];
  await openssl('req', '-x509', ...newKey(), ...subject, '-keyout', files.keyFile, '-out', files.certFile);
  return await load(files);
}

async function signed(directory: string, ca: Certificate, wanted: CertificateRequest) {
  const { name, commonName, extensions, days = 2 } = wanted;
  const files = filesOf(directory, name);
  const request = join(directory, `${name}.csr`);
  const extensionFile = join(directory, `${name}.ext`);
  await writeFile(extensionFile, extensions);
  await openssl(
    'req',
    '-new',
    ...newKey(wanted),
    '-subj',
    `/CN=${commonName}`,
    '-keyout',
    files.keyFile,
    '-out',
    request,
  );
  const issuer = ['-CA', ca.certFile, '-CAkey', ca.keyFile, '-set_serial', `0x${randomSerial()}`];
  const validity = ['-days', String(days), '-extfile', extensionFile];
  await openssl('x509', '-req', '-in', request, ...issuer, ...validity, '-out', files.certFile);
  return await load(files);
}

const randomSerial = () => crypto.randomUUID().replaceAll('-', '');

const filesOf = (directory: string, name: string) => ({
  certFile: join(directory, `${name}.crt`),
  keyFile: join(directory, `${name}.key`),
});

async function load(files: { certFile: string; keyFile: string }): Promise<Certificate> {
  const [cert, key] = await Promise.all([readFile(files.certFile, 'utf8'), readFile(files.keyFile, 'utf8')]);
  return { ...files, cert, key };
}
