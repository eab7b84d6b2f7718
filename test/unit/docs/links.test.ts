import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ROOT, read } from './markdown.ts';

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'deploy/README.md',
  ...readdirSync(new URL('docs/', ROOT)).map((name) => `docs/${name}`),
];

/** Where a heading can be linked to, as GitHub names it. */
function anchorsOf(markdown: string): string[] {
  return [...withoutCode(markdown).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function withoutCode(markdown: string): string {
  return markdown.replaceAll(/^```.*?^```/gms, '');
}

describe.each(pages)('%s', (page) => {
  const links = [...withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  const own = links.filter((target) => !/^[a-z]+:/.test(target));

  test('its links lead somewhere', () => {
    for (const target of own) {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? new URL(page, ROOT) : new URL(path, new URL(page, ROOT));
      expect(existsSync(file), `${page} links to ${target}`).toBe(true);
      const name = file.pathname.slice(ROOT.pathname.length);
      if (anchor !== undefined) expect(anchorsOf(read(name)), `${page} links to ${target}`).toContain(anchor);
    }
  });
});

test('docs/architecture.md names only files that exist', () => {
  const names = [...read('docs/architecture.md').matchAll(/`([\w./-]+\.ts)`/g)].map(([, name = '']) => name);
  expect(names.length).toBeGreaterThan(30);
  for (const name of names) {
    const places = [name, `src/${name}`, `src/bridge/${name}`, `test/contract/${name}`, `src/routes/${name}`];
    expect(
      places.some((place) => existsSync(new URL(place, ROOT))),
      name,
    ).toBe(true);
  }
});
