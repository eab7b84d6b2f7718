import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

const DEPLOY = new URL('../../deploy/', import.meta.url);

export type Variables = Record<string, string>;

/** The part of docker-compose.yml that tests look at. */
export interface Compose {
  readonly services: Readonly<
    Record<
      string,
      { environment?: Variables; stop_grace_period?: string; command?: string | string[]; volumes?: string[] }
    >
  >;
}

export function readDeploy(path: string): string {
  return readFileSync(new URL(path, DEPLOY), 'utf8');
}

export function readManifest<T>(path: string): T {
  return parse(readDeploy(path), { merge: true }) as T;
}

/** docker-compose.yml with `.env` put in: `${NAME:?message}` must be there, `${NAME:-default}` need not. */
export function readCompose(env: Readonly<Record<string, string>>): Compose {
  const text = readDeploy('docker-compose.yml').replaceAll(
    /\$\{(\w+)(:[?-])([^}]*)\}/g,
    (_, name: string, kind: string, rest: string) => {
      const value = env[name] ?? (kind === ':-' ? rest : undefined);
      if (value === undefined) throw new Error(`${name}: ${rest}`);
      return value;
    },
  );
  return parse(text, { merge: true }) as Compose;
}

/** What the last stage of the Dockerfile sets. */
export function imageEnvironment(): Variables {
  const [, variables = ''] = /^ENV (.*)$/m.exec(readDeploy('Dockerfile')) ?? [];
  return Object.fromEntries(variables.split(' ').map((pair) => pair.split('=') as [string, string]));
}
