import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadScripts, SCRIPT_NAMES } from '../../../src/store/redis/scripts.ts';

const FOLDER = new URL('../../../src/store/redis/lua/', import.meta.url);

describe('the Lua scripts', () => {
  it('are all loaded, and there is a file for each', () => {
    const files = readdirSync(FOLDER).filter((name) => name.endsWith('.lua'));
    expect(files.sort()).toEqual(SCRIPT_NAMES.map((name) => `${name}.lua`).sort());
  });

  it('are complete: every include was found and replaced', () => {
    for (const { source } of Object.values(loadScripts())) expect(source).not.toContain('@include');
    expect(loadScripts().append.source).toContain('local function owns(');
  });

  it('differ in content, so that none is run in place of another', () => {
    expect(new Set(Object.values(loadScripts()).map(({ sha }) => sha)).size).toBe(SCRIPT_NAMES.length);
  });

  describe.each(SCRIPT_NAMES)('%s', (name) => {
    const source = readFileSync(new URL(`${name}.lua`, FOLDER), 'utf8');
    const header = source.slice(0, source.indexOf(']]'));
    const code = source.slice(header.length);

    // With it the server itself refuses a key that was not declared or is in another slot.
    it('is a script of Redis 7', () => {
      expect(source).toMatch(/^#!lua( flags=[a-z-]+)?\n--\[\[\n/);
    });

    it('describes itself: what it does, Input and Output', () => {
      expect(header).toMatch(/--\[\[\n\S.+\n(?:.+\n)*\nInput\n {2}KEYS\[1\] .+\n(?: {2}.+\n)*Output\n {2}.+\n/);
    });

    it('declares every key and argument that it uses', () => {
      const used = (kind: string) => new Set(code.match(new RegExp(`${kind}\\[\\d+\\]`, 'g')));
      for (const kind of ['KEYS', 'ARGV']) {
        for (const reference of used(kind)) expect(header).toContain(reference);
      }
    });

    it('names keys only by KEYS: no name is built in the script', () => {
      expect(code).not.toMatch(/redis\.call\('[A-Z]+', (?:'|ARGV)/);
      expect(code).not.toMatch(/KEYS\[\d+\] \.\./);
    });
  });
});
