import { OPERATIONS } from '../../activities/operation-list.ts';

/** The write that a request asks for, with the parameters of its path. */
export function writeAt(method: string, path: string) {
  for (const operation of OPERATIONS) {
    const route = new RegExp(`^${operation.path.replace(/:(\w+)/g, '(?<$1>[^/]+)')}$`);
    const match = operation.method === method ? route.exec(path) : null;
    if (match === null) continue;
    const given = Object.entries(match.groups ?? {}).map(([name, value]) => [name, decodeURIComponent(value)]);
    return { operation, params: Object.fromEntries(given) as Record<string, string> };
  }
  return undefined;
}
