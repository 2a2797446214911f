import type { Operation } from '../../activities/operation.ts';
import { type Json, toJsonSchema } from '../../api/openapi/json-schema.ts';
import { code, table } from './markdown.ts';

/** The page of all operations with their members, limits, rejections and examples. */
export function operationsPage(operations: readonly Operation[]): string {
  return `# Operations

Each of these is a write: it needs an \`Idempotency-Key\` and happens once (see [contract.md](../contract.md)). The answers
that every write has are not repeated here; a running API has them all at \`/docs\`, and as a document at \`/openapi.json\`.

${table(
  ['Operation', 'Route', 'Type', 'Success', 'Event'],
  operations.map(({ name, method, path, type, successStatus, event }) => [
    `[${name}](#${name.toLowerCase()})`,
    code(`${method} ${path}`),
    type,
    successStatus,
    code(event),
  ]),
)}

${operations.map(section).join('\n\n')}
`;
}

function section(operation: Operation): string {
  const { name, method, path, description, type, roles, successStatus, resource, event, schemaVersion } = operation;
  const members = [
    ...membersOf(toJsonSchema(operation.params), 'path'),
    ...membersOf(toJsonSchema(operation.body), 'body'),
  ];
  const rejections = Object.entries(operation.rejections).map(([rejection, { status, title, nextAction }]) => [
    `[${rejection}](errors.md#${rejection})`,
    status,
    title,
    code(nextAction ?? 'use_new_key'),
  ]);
  return `## ${name}

\`${method} ${path}\` · ${type} · ${successStatus} with the ${resource.type} · event \`${event}\` · schema version ${schemaVersion}

${description}

Roles: ${roles.join(', ')}.

${members.length === 0 ? 'It has no members; the body may be omitted.' : table(['Member', 'In', 'Required', 'What it is'], members)}

${rejections.length === 0 ? 'It has no rejections of its own.' : table(['Rejection', 'Status', 'Title', 'nextAction'], rejections)}

${operation.examples.map(exampleOf(operation)).join('\n\n')}`;
}

type Schema = {
  readonly type?: string;
  readonly format?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  /** Of a member that may be null: its schema, and that of null. */
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly string[];
  readonly default?: unknown;
} & Readonly<Partial<Record<(typeof LIMITS)[number][0 | 1], number>>>;

/** One row per member; members of nested objects are named by their path: `lines[].quantity`. */
function membersOf(json: Json, location: string, prefix = ''): string[][] {
  const { properties = {}, required = [] } = json as Schema;
  return Object.entries(properties).flatMap(([name, member]) => {
    const schema = member.anyOf?.find(({ type }) => type !== 'null') ?? member;
    const path = prefix + name;
    const what = describe(schema, { orNull: schema !== member });
    const row = [code(path), location, required.includes(name) ? 'yes' : 'no', what];
    const below = schema.items ?? schema;
    return [row, ...membersOf(below, location, `${path}${schema.items === undefined ? '' : '[]'}.`)];
  });
}

function describe(schema: Schema, { orNull }: { readonly orNull: boolean }): string {
  const kind = (schema.enum?.map(code).join(', ') ?? schema.format ?? schema.type ?? '') + (orNull ? ' or null' : '');
  const limits = LIMITS.flatMap(([low, high, unit]) => {
    const [from, to] = [schema[low], schema[high]];
    if (from === undefined && to === undefined) return [];
    return [`${from ?? 0} to ${to ?? 'any'}${unit}`];
  });
  const byDefault = schema.default === undefined ? [] : [`default ${code(JSON.stringify(schema.default))}`];
  return [kind, ...limits, ...(schema.description === undefined ? [] : [schema.description]), ...byDefault].join('; ');
}

const LIMITS = [
  ['minimum', 'maximum', ''],
  ['minLength', 'maxLength', ' characters'],
  ['minItems', 'maxItems', ' items'],
] as const;

function exampleOf({ method, path }: Operation) {
  return ({ summary, params, body }: Operation['examples'][number]): string => {
    const url = path.replace(/:(\w+)/g, (_, name: string) => params[name] ?? '');
    return `${summary}:\n\n\`\`\`http\n${method} ${url}\n\n${JSON.stringify(body, null, 2)}\n\`\`\``;
  };
}
