import type { z } from 'zod';

const TYPES: Readonly<Record<string, string>> = {
  string: 'a string',
  int: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'an array',
  object: 'an object',
  record: 'an object',
};

/** What is said where a schema has no sentence of its own: none of the library's texts reaches a caller. */
export const ownSentence: z.core.$ZodErrorMap = (issue) => {
  const name = issue.path?.at(-1);
  const subject = name === undefined ? 'The body' : `\`${String(name)}\``;
  if (issue.code === 'invalid_type') {
    // Of a query: the parameter is there twice.
    const several = issue.expected === 'string' && Array.isArray(issue.input);
    return `${subject} is ${several ? 'one string, not several' : (TYPES[issue.expected] ?? issue.expected)}`;
  }
  if (issue.code === 'invalid_value') {
    const values = issue.values.map((value) => JSON.stringify(value)).join(', ');
    return `${subject} is ${issue.values.length > 1 ? 'one of ' : ''}${values}`;
  }
  if (issue.code === 'too_small' && issue.origin === 'string') return `${subject} is not empty`;
  return `${subject} is not valid`;
};
