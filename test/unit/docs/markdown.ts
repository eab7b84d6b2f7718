import { readFileSync } from 'node:fs';

/** Of the project's folder, with "/" at its end. */
export const ROOT = new URL('../../../', import.meta.url);

export function read(path: string): string {
  return readFileSync(new URL(path, ROOT), 'utf8');
}

/** What stands under a heading of the second level, up to the next one. Throws when there is no such heading. */
export function section(markdown: string, heading: string): string {
  const start = markdown.indexOf(`\n## ${heading}\n`);
  if (start === -1) throw new Error(`there is no heading "${heading}"`);
  const end = markdown.indexOf('\n## ', start + 1);
  return markdown.slice(start, end === -1 ? undefined : end);
}

/** The cells of the rows of a section's tables, their headers left out. */
export function tableRows(markdown: string): string[][] {
  const lines = markdown.split('\n').filter((line) => line.startsWith('|'));
  const rules = lines.flatMap((line, index) => (/^[|\s:-]+$/.test(line) ? [index] : []));
  return lines
    .filter((_, index) => !rules.includes(index) && !rules.includes(index + 1))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

/** The text of a cell that is code: `…` in backticks, without them. */
export function code(cell: string): string {
  return /^`([^`]*)`$/.exec(cell)?.[1] ?? cell;
}
