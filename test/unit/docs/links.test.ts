import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ROOT, read } from './markdown.ts';

const pages = ['README.md', 'CONTRIBUTING.md', ...readdirSync(new URL('docs/', ROOT)).map((name) => `docs/${name}`)];

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
