import { OPERATIONS } from '../../activities/operation-list.ts';
import { documentOf } from '../../deploy/client/generate/document.ts';
import { fullName, type MethodName } from '../../deploy/client/generate/names.ts';
import { type Route, routesOf } from '../../deploy/client/generate/routes.ts';

/** Each route of the API, with the name of its method. */
export const CLIENT_ROUTES: readonly Route[] = routesOf(documentOf(OPERATIONS), OPERATIONS);

type Method = (...args: unknown[]) => unknown;

/** A method of the client by its name, without its types. */
export function methodOf(client: object, name: MethodName): Method {
  const group = name.group === undefined ? client : Reflect.get(client, name.group);
  const method: unknown = Reflect.get(Object(group), name.method);
  if (typeof method !== 'function') throw new Error(`The client has no method ${fullName(name)}.`);
  return method as Method;
}

/** The names of all methods, and of those in its groups: `payments.create`. */
export function methodNames(client: object): string[] {
  return Object.entries(client).flatMap(([name, member]) =>
    typeof member === 'function' ? [name] : Object.keys(member).map((method) => `${name}.${method}`),
  );
}

/** The path of a route with these values of its parameters, in their order. */
export function pathWith({ path }: Pick<Route, 'path'>, values: readonly string[]): string {
  const left = values.map(encodeURIComponent);
  return path.replace(/\{\w+\}/g, () => left.shift() ?? '');
}
