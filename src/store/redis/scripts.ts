import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** The Lua files lie beside this one; a bundle copies the folder beside itself. */
const FOLDER = new URL('./lua/', import.meta.url);
const INCLUDE = /^--- @include (\S+)$/gm;

export const SCRIPT_NAMES = [
  'append',
  'claim',
  'claim-release',
  'count-dropped',
  'exchange-begin',
  'exchange-finish',
  'exchange-load',
  'exchange-release',
  'lease-acquire',
  'lease-leave-line',
  'lease-release',
  'lease-renew',
  'member-leave',
  'members',
  'outbox',
  'publication-begin',
  'publication-find',
  'publication-settle',
  'read',
  'record-commit',
  'record-prepare',
  'record-remove',
  'record-update',
  'remove-each',
  'remove-through',
  'schedule-restore',
  'schedule-set',
  'schedule-take',
  'schedule-upcoming',
  'session-begin',
  'session-save',
  'stats',
  'time',
] as const;

export type ScriptName = (typeof SCRIPT_NAMES)[number];

/** Known to the server by the hash of its content, so that two releases run side by side. */
export interface Script {
  readonly source: string;
  readonly sha: string;
}

export type Scripts = Readonly<Record<ScriptName, Script>>;

/** Reads every script; `--- @include name` stands for the content of `lua/include/name.lua`. */
export function loadScripts(): Scripts {
  return Object.fromEntries(SCRIPT_NAMES.map((name) => [name, loadScript(name)])) as Record<ScriptName, Script>;
}

function loadScript(name: ScriptName): Script {
  const source = readLua(name).replaceAll(INCLUDE, (_line, included: string) => readLua(`include/${included}`));
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

function readLua(name: string): string {
  return readFileSync(new URL(`${name}.lua`, FOLDER), 'utf8');
}
