import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { environment } from '../../../src/config/environment.ts';
import { connectionParameters } from '../../../src/schemas/connection.ts';
import { code, read, section, tableRows } from './markdown.ts';

const readme = read('README.md');

interface JsonSchema {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
  readonly type?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
}

const root = z.toJSONSchema(connectionParameters, { io: 'input', unrepresentable: 'any' }) as JsonSchema;

/** A schema with what it refers to. */
function resolve(schema: JsonSchema): JsonSchema {
  const name = schema.$ref?.split('/').at(-1);
  return name === undefined ? schema : { ...root.$defs?.[name], ...schema };
}

/** Every member of the document, by its path as the README writes it: `will.topic`, `subscriptions[].qos`. */
function membersOf(schema: JsonSchema, prefix = ''): [string, JsonSchema][] {
  return Object.entries(resolve(schema).properties ?? {}).flatMap(([name, member]) => {
    const path = `${prefix}${name}`;
    const items = resolve(member).items ?? {};
    return [
      [path, resolve(member)] as [string, JsonSchema],
      ...membersOf(member, `${path}.`),
      ...membersOf(items, `${path}[].`),
    ];
  });
}

/** The bounds of a number, also where it is one of several things that a member may be. */
function boundsOf(schema: JsonSchema): [number, number] | null {
  for (const { type, minimum, maximum } of [schema, ...(schema.anyOf ?? [])]) {
    if (type === 'integer' && minimum !== undefined && maximum !== undefined) return [minimum, maximum];
  }
  return null;
}

describe('the parameter table', () => {
  const members = membersOf(root);
  const rows = new Map(tableRows(section(readme, 'Connection parameters')).map((row) => [code(row[0] ?? ''), row]));

  test('has a row for every member, and no other', () => {
    expect([...rows.keys()].sort()).toEqual(members.map(([path]) => path).sort());
  });

  test.each(members)('%s: range and default are those of the schema', (path, member) => {
    const [, range = '', defaultCell = ''] = rows.get(path) ?? [];
    const bounds = boundsOf(member);
    if (bounds !== null && !/refused/.test(range)) expect(range).toContain(bounds.join('–'));
    if (member.default !== undefined && member.type !== 'object') expect(code(defaultCell)).toBe(`${member.default}`);
  });
});

describe('the table of the configuration', () => {
  const rows = tableRows(section(readme, 'Configuration')).map(([name = '', value = '']) => [code(name), code(value)]);
  const [, reserved = ''] = /\nReserved for later, and refused when set: (.*)\n/.exec(readme) ?? [];
  const refusedNames = [...reserved.matchAll(/`([A-Z_]+)`/g)].flatMap(([, name = '']) =>
    name === 'BRIDGE_CONFIG' ? [] : [name],
  );

  test('has every variable, those that are reserved apart', () => {
    const names = [...rows.map(([name]) => name), ...refusedNames];
    expect(names.sort()).toEqual(Object.keys(environment.shape).sort());
  });

  test('has the defaults that are in force', () => {
    const defaults = Object.entries(environment.parse({})).filter(([name]) => rows.some(([row]) => row === name));
    expect(defaults.length).toBeGreaterThan(8);
    const documented = new Map(rows.map(([name, value]) => [name, value]));
    for (const [name, value] of defaults) {
      if (!Array.isArray(value)) expect([name, documented.get(name)]).toEqual([name, `${value}`]);
    }
  });

  test('what is reserved is refused', () => {
    expect(refusedNames.length).toBeGreaterThan(0);
    for (const name of refusedNames) expect(environment.safeParse({ [name]: '1' }).success).toBe(false);
  });
});

test('the table of the commands names scripts that there are', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const commands = tableRows(section(readme, 'Commands')).map(([command = '']) => code(command).split(' ').at(-1));
  expect(commands.length).toBeGreaterThan(5);
  expect(Object.keys(scripts)).toEqual(expect.arrayContaining(commands));
});

test('the table of the endpoints has those of the contract, and no other', () => {
  const { paths } = parse(read('openapi/openapi.yaml')) as { paths: Record<string, Record<string, unknown>> };
  // HEAD goes with GET, and has no row of its own.
  const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
  const contract = Object.entries(paths).flatMap(([path, item]) =>
    METHODS.filter((method) => method in item).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const documented = tableRows(section(readme, 'Endpoints')).flatMap(([cell = '']) => {
    const [, methods = '', path] = /^(.*) (\/.*)$/.exec(code(cell)) ?? [];
    return methods.split(', ').map((method) => `${method} ${path}`);
  });
  expect(documented.sort()).toEqual(contract.sort());
});
