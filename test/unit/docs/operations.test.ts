import { readdirSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { expect, test } from 'vitest';
import { parseConfigFile } from '../../../src/config/file.ts';
import { code, ROOT, read, section, tableRows } from './markdown.ts';

/** The text of every source file under a folder. */
function sources(folder: string): string {
  const names = readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => name.endsWith('.ts'))
    .map((name) => read(`${folder}${name}`))
    .join('\n');
}

test('the example of BRIDGE_CONFIG is one', () => {
  const [, yaml = ''] = /^```yaml\n(.*?)^```$/ms.exec(read('docs/operations.md')) ?? [];
  const [ca = ''] = rootCertificates;
  expect(parseConfigFile(yaml, () => ca)).toMatchObject({
    value: {
      brokers: { default: { username: 'bridge', tls: { ca } }, 'press-hall': {} },
      allowUrls: [expect.any(String)],
      tls: { ca, allowUnverified: false },
    },
  });
});

test('the messages of the log are those that the code writes', () => {
  const written = sources('src/');
  const documented = tableRows(section(read('docs/operations.md'), 'The log')).map(([message = '']) => code(message));
  expect(documented.length).toBeGreaterThan(5);
  for (const message of documented) expect(written).toContain(message.split('…')[0]);
});

test('every warning is documented, and no other', () => {
  const codes = sources('src/schemas/').matchAll(/\bwarn(?:ings\.push)?\(\s*\{\s*code: '([a-z0-9-]+)'/g);
  const documented = tableRows(section(read('docs/parameters.md'), 'Warnings')).flatMap(([names = '']) =>
    names.split(', ').map(code),
  );
  expect(documented.sort()).toEqual([...new Set([...codes].map(([, name]) => name))].sort());
});
