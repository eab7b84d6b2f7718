import { parse } from 'yaml';
import { z } from 'zod';
import { materialFaults, type TlsTexts } from '../tls/material.ts';
import { parseBrokerUrl } from './broker-url.ts';

/** Reads a file as text; throws when it cannot. */
export type ReadFile = (path: string) => string;

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

const brokerUrl = z.string().transform((text, context) => {
  try {
    return parseBrokerUrl(text);
  } catch (error) {
    context.addIssue(error instanceof Error ? error.message : String(error));
    return z.NEVER;
  }
});

/** PEM, or where it is: certificates and keys are usually mounted as files. */
const pem = (readFile: ReadFile) =>
  z.union([
    z.string(),
    z.strictObject({ file: z.string().min(1) }).transform(({ file: path }, context) => {
      try {
        return readFile(path);
      } catch (error) {
        context.addIssue(`names a file that cannot be read: ${error instanceof Error ? error.message : path}`);
        return z.NEVER;
      }
    }),
  ]);

/** The faults of certificates and keys, each at its member. What is no PEM at all is often the path of a file. */
function judgeMaterial(texts: TlsTexts, context: z.RefinementCtx): void {
  for (const { member, detail } of materialFaults(texts)) {
    const isPath = member !== 'passphrase' && texts[member]?.includes('-----BEGIN') === false;
    const message = `${detail.replace(/\.$/, '')}${isPath ? '; for a file write `{ file: … }`' : ''}`;
    context.addIssue({ code: 'custom', path: [member], message });
  }
}

const profileTls = (readFile: ReadFile) =>
  z
    .strictObject({
      ca: pem(readFile).optional(),
      cert: pem(readFile).optional(),
      key: pem(readFile).optional(),
      passphrase: z.string().optional(),
      serverName: z.string().optional(),
      alpn: z.array(z.string()).optional(),
      rejectUnauthorized: z.boolean().optional(),
    })
    .superRefine((tls, context) => {
      judgeMaterial(tls, context);
      if ((tls.cert === undefined) !== (tls.key === undefined)) {
        context.addIssue('has one of cert and key: they belong together');
      }
    });

/** What goes for the TLS to all brokers. */
const tlsOfAll = (readFile: ReadFile) =>
  z
    .strictObject({ ca: pem(readFile).optional(), allowUnverified: z.boolean().default(false) })
    .superRefine(judgeMaterial);

const broker = (readFile: ReadFile) =>
  z
    .strictObject({
      url: z.union([brokerUrl.transform((url) => [url]), z.array(brokerUrl).min(1).max(16)]),
      username: z.string().optional(),
      password: z
        .union([
          z.string().transform((text) => Buffer.from(text)),
          z
            .strictObject({ base64: z.string().regex(BASE64, { error: 'is not base64' }) })
            .transform(({ base64 }) => Buffer.from(base64, 'base64')),
        ])
        .optional(),
      tls: profileTls(readFile).optional(),
      websocket: z.strictObject({ headers: z.record(z.string(), z.string()) }).optional(),
    })
    .transform(({ url: urls, username, password, tls, websocket }, context) => {
      const inUrl = urls.find((url) => url.username !== undefined);
      if (inUrl !== undefined && (username !== undefined || password !== undefined)) {
        context.addIssue('has credentials both in its url and beside it');
      }
      const user = username ?? inUrl?.username;
      const secret = password ?? (inUrl?.password === undefined ? undefined : Buffer.from(inUrl.password));
      return {
        urls: urls.map(({ url }) => url),
        ...(user === undefined ? {} : { username: user }),
        ...(secret === undefined ? {} : { password: secret }),
        ...(tls === undefined ? {} : { tls }),
        ...(websocket === undefined ? {} : { websocketHeaders: websocket.headers }),
      };
    });

const file = (readFile: ReadFile) =>
  z.strictObject(
    {
      brokers: z
        .record(
          z.string().regex(/^[\w.-]{1,64}$/, { error: 'is not a name of letters, digits, ".", "_", "-"' }),
          broker(readFile),
        )
        .default({}),
      allowUrls: z.array(z.string()).default([]),
      tls: tlsOfAll(readFile).default({ allowUnverified: false }),
      callers: z
        .never({ error: 'is not available in this version; BRIDGE_API_KEY names one caller that may do everything' })
        .optional(),
    },
    { error: 'is not an object with brokers, allowUrls, tls' },
  );

export type BrokerSettings = z.output<ReturnType<typeof broker>>;
export type ConfigFile = z.output<ReturnType<typeof file>>;

/**
 * Reads the text of `BRIDGE_CONFIG`: JSON or YAML, of which JSON is a part. Answers it, or every fault in it. Files
 * that it names are read by `readFile`.
 */
export function parseConfigFile(text: string, readFile: ReadFile): { value: ConfigFile } | { faults: string[] } {
  let document: unknown;
  try {
    document = parse(text) ?? {};
  } catch {
    return { faults: ['is neither JSON nor YAML'] };
  }
  const result = file(readFile).safeParse(document);
  if (result.success) return { value: result.data };
  return { faults: result.error.issues.flatMap(sentences) };
}

/** A union's issue hides what its members said: the first member that understood the type says it best. */
function sentences(issue: z.core.$ZodIssue): string[] {
  if (issue.code === 'invalid_union') {
    const deepest =
      issue.errors.find((member) => member.some(({ code }) => code !== 'invalid_type')) ?? issue.errors[0];
    return (deepest ?? []).flatMap((inner) => sentences({ ...inner, path: [...issue.path, ...inner.path] }));
  }
  const where = issue.path.join('.');
  return [where === '' ? issue.message : `${where}: ${issue.message}`];
}
