import { expect, test } from 'vitest';
import { problemsPage } from '../../../scripts/problems-docs.ts';
import { read } from './markdown.ts';

test('docs/problems.md is what scripts/problems-docs.ts makes of the catalogue', () => {
  expect(read('docs/problems.md')).toBe(problemsPage());
});
