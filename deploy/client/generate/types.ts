import { compile, type JSONSchema } from 'json-schema-to-typescript';
import { type ApiDocument, referredName, type Schema } from './document.ts';
import type { Route } from './routes.ts';
import { wrapped } from './wrapped.ts';

/** `deploy/client/src/generated/types.ts`: what is sent and what is answered, by the schemas of the document. */
export async function typesText(
  document: ApiDocument,
  routes: readonly Route[],
  problemCodes: readonly string[],
): Promise<string> {
  const writes = routes.flatMap(({ write }) => (write === undefined ? [] : [write]));
  const schemas: (readonly [name: string, schema: Schema])[] = [
    ...writes.map(({ body }) => [body.type, body.schema] as const),
    ...routes.flatMap(({ query }) => (query === undefined ? [] : [[query.type, query.schema] as const])),
    ...Object.entries(document.components.schemas),
  ];
  requireUniqueTypes([...schemas.map(([name]) => name), ...OWN_TYPES]);
  const rejections = writes.map(
    ({ operation, rejections: codes }) => `  ${operation}: ${unionOf([...codes, 'forbidden'])};`,
  );
  return [
    '/** The name of an operation, which is a kind of write. */\n' +
      `export type Operation = ${unionOf(writes.map(({ operation }) => operation))};`,
    '/** The kind of an event: each write that succeeds records one. */\n' +
      `export type EventKind = ${unionOf([...new Set(writes.map(({ event }) => event))])};`,
    '/** The codes of all problems that this release can answer with. */\n' +
      `export type ProblemCode = ${unionOf(problemCodes)};`,
    '/** The codes that a write can be rejected with, which is then its outcome, by its operation. */\n' +
      `export interface RejectionCodes {\n${rejections.join('\n')}\n}`,
    '/** The body of a webhook call. It is a test, and not an event, if `data.eventId` is undefined. */\n' +
      `export type WebhookCall = ${webhookCalls(document).join(' | ')};`,
    ...(await Promise.all(schemas.map(([name, schema]) => typeText(name, schema)))),
  ].join('\n\n');
}

const OWN_TYPES = ['Operation', 'EventKind', 'ProblemCode', 'RejectionCodes', 'WebhookCall'];

/** Types that say more than the schema of their member. */
const OTHER_TYPES: Readonly<Record<string, string>> = {
  // A later release may give them further values: its clients see the known ones, and compile with any.
  'Problem.code': 'ProblemCode | (string & {})',
  // Named, unlike in the document, where a schema cannot be null and have a name.
  'BatchRowResult.problem': 'Problem | null',
  'Event.kind': 'EventKind | (string & {})',
  'EventCall.type': 'EventKind | (string & {})',
  // By its being undefined, the compiler tells a test from an event.
  'TestCall.data': '{ companyId: string; eventId?: undefined }',
  'SealedCall.data':
    '{ companyId: string; eventId?: undefined; heads: { head: string; keyId: string; signature: string }[] }',
};

async function typeText(name: string, schema: Schema): Promise<string> {
  const text = await compile(withOtherTypes(name, prepared(schema)) as JSONSchema, name, {
    bannerComment: '',
    format: false,
    // An answer may have further members, but a program should not use one that it cannot know of.
    additionalProperties: false,
    // An array, not a tuple: its length is for the API to check.
    ignoreMinAndMaxItems: true,
  });
  return (
    text
      .trim()
      // Unlike an interface, it can be given where any object with such members is taken.
      .replace(/^export interface (\w+) \{/m, 'export type $1 = {')
      .replace(/\/\*\*\n \* (.*)\n \*\//g, '/** $1 */')
  );
}

function withOtherTypes(name: string, schema: Schema): Schema {
  const properties = Object.entries(schema.properties ?? {}).map(([member, of]) => {
    const type = OTHER_TYPES[`${name}.${member}`];
    return [member, type === undefined ? of : { ...of, tsType: type }] as const;
  });
  return properties.length === 0 ? schema : { ...schema, properties: Object.fromEntries(properties) };
}

/** The schema in the words of json-schema-to-typescript, of which `tsType` replaces a schema by a type. */
function prepared(schema: Schema): Schema {
  const name = referredName(schema);
  if (name !== undefined) return { tsType: name, ...described(schema) };
  if (Object.keys(schema).every((keyword) => ANNOTATIONS.has(keyword))) {
    return { tsType: 'unknown', ...described(schema) };
  }
  if (schema.type === 'object' && isClosedAndEmpty(schema)) {
    // Not `{}`, which any value is: options in the place of the body would compile.
    return { tsType: 'Record<string, never>', ...described(schema) };
  }
  const union = schema['anyOf'] as readonly Schema[] | undefined;
  if (union !== undefined) return preparedUnion(schema, union);
  const { propertyNames: _, default: __, ...rest } = schema;
  const entries = Object.entries(rest).map(([keyword, value]) => [keyword, preparedPart(keyword, value)]);
  return { ...Object.fromEntries(entries), ...described(schema) };
}

function preparedPart(keyword: string, value: unknown): unknown {
  if (keyword === 'properties') {
    const members = Object.entries(value as Readonly<Record<string, Schema>>);
    return Object.fromEntries(members.map(([name, member]) => [name, prepared(member)]));
  }
  if (keyword === 'items' || (keyword === 'additionalProperties' && typeof value === 'object')) {
    return prepared(value as Schema);
  }
  return value;
}

/** What may be null twice is so once. The description of a value that may be null is that of the value. */
function preparedUnion(schema: Schema, union: readonly Schema[]): Schema {
  const all = union.flatMap((one) => (one['anyOf'] as readonly Schema[] | undefined) ?? [one]);
  const values = all.filter(({ type }) => type !== 'null');
  const { description } = values.length === 1 ? { ...values[0], ...schema } : schema;
  const isNullable = values.length < all.length;
  return {
    anyOf: [...values.map(prepared), ...(isNullable ? [{ type: 'null' }] : [])],
    ...described({ ...schema, ...(description === undefined ? {} : { description }) }),
  };
}

/** Keywords that say nothing of a value, but for those who read. */
const ANNOTATIONS = new Set(['description', 'examples', 'default']);

function isClosedAndEmpty({ properties = {}, additionalProperties }: Schema): boolean {
  return additionalProperties === false && Object.keys(properties).length === 0;
}

/** The description, with the default if it is not told in words. */
function described({ description, default: value }: Schema): { readonly description?: string } {
  const isTold = value === undefined || description?.includes('if omitted') === true;
  const lines = [
    ...(description === undefined ? [] : wrapped(description, DESCRIPTION_CHARACTERS)),
    ...(isTold ? [] : [`@default ${JSON.stringify(value)}`]),
  ];
  return lines.length === 0 ? {} : { description: lines.join('\n') };
}

/** Leaves room for the indentation of a member of a member. */
const DESCRIPTION_CHARACTERS = 108;

function webhookCalls({ webhooks }: ApiDocument): string[] {
  return Object.entries(webhooks).map(([name, { post }]) => {
    const type = referredName(post.requestBody?.content['application/json']?.schema);
    if (type === undefined) throw new Error(`The webhook ${name} has a body without a name.`);
    return type;
  });
}

function requireUniqueTypes(names: readonly string[]): void {
  const twice = names.filter((name, index) => names.indexOf(name) !== index);
  if (twice.length > 0) throw new Error(`The client would have two types with the name ${twice.join(', ')}.`);
}

function unionOf(values: readonly string[]): string {
  return values.map((value) => `'${value}'`).join(' | ');
}
