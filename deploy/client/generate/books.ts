import type { Route } from './routes.ts';
import { wrapped } from './wrapped.ts';

/** `deploy/client/src/generated/books.ts`: an object for each group of methods, each of which calls its route. */
export function booksText(routes: readonly Route[]): string {
  const groups = byGroup(routes);
  const types = new Set(routes.flatMap(({ answer, query, write }) => [answer, query?.type, write?.body.type]));
  return [
    `import type { CallOptions, Calls, PendingWrite, WriteOptions } from '../calls.ts';`,
    `import { segment } from '../http.ts';`,
    `import type { Pages } from '../pages.ts';`,
    `import type { ${[...types].filter((type) => type !== undefined).join(', ')} } from './types.ts';`,
    '',
    `/** A method for each route of the API. */`,
    `export type Books = {`,
    ...groups.map(([group, members]) => inGroup(group, 'type', members.map(declaration))),
    `};`,
    '',
    `export function booksOf(calls: Calls): Books {`,
    `  return {`,
    ...groups.map(([group, members]) => inGroup(group, 'value', members.map(implementation))),
    `  };`,
    `}`,
  ].join('\n');
}

type Members = readonly Route[];

/** In the order of the document, but writes before reads. */
function byGroup(routes: readonly Route[]): (readonly [group: string | undefined, members: Members])[] {
  const groups = [...new Set(routes.map(({ name }) => name.group))];
  return groups.map((group) => {
    const members = routes.filter(({ name }) => name.group === group);
    const isWrite = ({ kind }: Route) => kind === 'write';
    return [group, [...members.filter(isWrite), ...members.filter((route) => !isWrite(route))]];
  });
}

function inGroup(group: string | undefined, of: 'type' | 'value', members: readonly string[]): string {
  const text = members.join('\n');
  if (group === undefined) return text;
  return of === 'type' ? `readonly ${group}: {\n${text}\n};` : `${group}: {\n${text}\n},`;
}

function declaration(route: Route): string {
  const { kind, answer, name } = route;
  const returned = { write: 'PendingWrite', list: 'Pages', read: 'Promise', act: 'Promise' }[kind];
  const parameters = parametersOf(route).map(({ name: parameter, type }) => `${parameter}: ${type}`);
  return `${documentation(route)}\n${name.method}(${parameters.join(', ')}): ${returned}<${answer}>;`;
}

function documentation({ summary, roles, write }: Route): string {
  const rejections = write?.rejections.map((code) => `\`${code}\``);
  const rejected =
    rejections === undefined || rejections.length === 0 ? undefined : `Rejections: ${rejections.join(', ')}.`;
  const facts = [roles, rejected].flatMap((fact) =>
    fact === undefined ? [] : wrapped(`- ${fact}`, LINE_CHARACTERS, '  '),
  );
  const lines = [`${summary}.`, ...(facts.length === 0 ? [] : ['', ...facts])];
  if (lines.length === 1) return `/** ${lines[0]} */`;
  return ['/**', ...lines.map((line) => ` * ${line}`.trimEnd()), ' */'].join('\n');
}

/** With the indentation and the star of a comment, a line has 120 characters. */
const LINE_CHARACTERS = 113;

function implementation(route: Route): string {
  const parameters = parametersOf(route).map(({ name }) => name.replace('?', ''));
  return `${route.name.method}: (${parameters.join(', ')}) => ${callOf(route)},`;
}

function callOf({ kind, method, path, query, write }: Route): string {
  const where = pathInSource(path);
  if (kind === 'act') return `calls.act(${where}, options)`;
  if (write === undefined) return `calls.${kind}(${where}, ${query === undefined ? undefined : 'query'}, options)`;
  const body = write.body.isRequired ? 'body' : 'body: body ?? {}';
  return `calls.write({ operation: '${write.operation}', method: '${method}', path: ${where}, ${body} }, options)`;
}

function parametersOf({
  kind,
  pathParameters,
  query,
  write,
}: Route): { readonly name: string; readonly type: string }[] {
  return [
    ...pathParameters.map((name) => ({ name, type: 'string' })),
    ...(write === undefined ? [] : [{ name: write.body.isRequired ? 'body' : 'body?', type: write.body.type }]),
    ...(query === undefined ? [] : [{ name: 'query?', type: query.type }]),
    { name: 'options?', type: kind === 'write' ? 'WriteOptions' : 'CallOptions' },
  ];
}

/** `/api/invoices/{invoiceId}/finalize` as an expression, with each value percent-encoded. */
function pathInSource(path: string): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => `\${segment(${name})}`);
  return filled === path ? `'${path}'` : `\`${filled}\``;
}
