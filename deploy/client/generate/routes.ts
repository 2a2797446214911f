import type { Operation } from '../../../activities/operation.ts';
import { type ApiDocument, type DocumentedRoute, referredName, type Schema } from './document.ts';
import { capitalized, type MethodName, methodNameOf, queryTypeOf, requireUniqueNames } from './names.ts';

/** A route of the document, as a method of the client. */
export type Route = {
  readonly name: MethodName;
  /** `act`: a POST that needs no key. */
  readonly kind: 'write' | 'list' | 'read' | 'act';
  readonly method: string;
  /** With `{name}` for each parameter. */
  readonly path: string;
  readonly pathParameters: readonly string[];
  readonly summary: string;
  /** `Roles: owner, admin.`; undefined if the document says it in other words. */
  readonly roles: string | undefined;
  /** The type of the answer, or of the items of its pages. */
  readonly answer: string;
  readonly query: { readonly type: string; readonly schema: Schema } | undefined;
  readonly write: Write | undefined;
};

type Write = {
  readonly operation: string;
  readonly event: string;
  readonly rejections: readonly string[];
  readonly body: { readonly type: string; readonly schema: Schema; readonly isRequired: boolean };
};

/** All routes of the document but those that carry files. Throws if two of them would have the same name. */
export function routesOf(document: ApiDocument, operations: readonly Operation[]): readonly Route[] {
  const routes = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([, route]) => !carriesFile(route))
      .map(([method, route]) => routeOf(method.toUpperCase(), path, route, operations)),
  );
  requireUniqueNames(routes);
  return routes;
}

function routeOf(method: string, path: string, route: DocumentedRoute, operations: readonly Operation[]): Route {
  const { schema, isList } = answerOf(method, path, route);
  const write = writeOf(route);
  const collection = operations.find(({ name }) => name === write?.operation)?.resource.reads;
  const name = methodNameOf({
    ...{ method, path, isList },
    write: write === undefined || collection === undefined ? undefined : { operation: write.operation, collection },
  });
  const query = queryOf(route);
  return {
    name,
    kind: write !== undefined ? 'write' : isList ? 'list' : method === 'GET' ? 'read' : 'act',
    method,
    path,
    pathParameters: [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter = '']) => parameter),
    summary: route.summary,
    roles: /^Roles: .*$/m.exec(route.description)?.[0],
    answer: schema,
    query: query === undefined ? undefined : { type: queryTypeOf(name), schema: query },
    write,
  };
}

/** What is sent or answered is not JSON: `deploy/client/src/batches.ts` has methods for these. */
export function carriesFile({ requestBody, responses }: DocumentedRoute): boolean {
  const contents = [requestBody?.content, (responses['200'] ?? responses['201'])?.content];
  return contents.some((content) => content !== undefined && content['application/json'] === undefined);
}

function writeOf({ 'x-operation': operation, requestBody }: DocumentedRoute): Write | undefined {
  const schema = requestBody?.content['application/json']?.schema;
  if (operation === undefined || requestBody === undefined || schema === undefined) return undefined;
  return {
    operation: operation.name,
    event: operation.event,
    rejections: operation.rejections.map(({ code }) => code),
    body: { type: `${capitalized(operation.name)}Body`, schema, isRequired: requestBody.required },
  };
}

/** The name of the schema of a success, or of the items of the page that it is. */
function answerOf(method: string, path: string, { responses }: DocumentedRoute): { schema: string; isList: boolean } {
  const success = (responses['200'] ?? responses['201'])?.content?.['application/json']?.schema;
  const items = success?.properties?.['items'] as { readonly items?: Schema } | undefined;
  const schema = referredName(success) ?? referredName(items?.items);
  if (schema === undefined) throw new Error(`${method} ${path} answers with a schema that has no name.`);
  return { schema, isList: items !== undefined };
}

/** One object of all parameters of the query; undefined without any. */
function queryOf({ parameters }: DocumentedRoute): Schema | undefined {
  const properties = Object.fromEntries(
    parameters.flatMap((one) => (one.$ref === undefined && one.in === 'query' ? [[one.name, one.schema]] : [])),
  );
  if (Object.keys(properties).length === 0) return undefined;
  return { type: 'object', properties, additionalProperties: false };
}
