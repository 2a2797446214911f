import type { FastifyRequest } from 'fastify';
import { ApiProblem } from './problems.ts';

/**
 * The media type that a request names, one of these, in lower case; undefined where it names none. Throws `unsupported_media_type`
 * for another one, for another charset than UTF-8, and for what is compressed, which may be a thousand times larger than it looks.
 */
export function readMediaType<T extends string>(
  { headers }: Pick<FastifyRequest, 'headers'>,
  { types, what }: { readonly types: readonly T[]; readonly what: 'body' | 'file' },
): T | undefined {
  const refused = (detail: string) => new ApiProblem('unsupported_media_type', { detail });
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw refused(`Send the ${what} without Content-Encoding.`);
  }
  const named = headers['content-type'];
  if (named === undefined) return undefined;
  const [essence, ...parameters] = named.split(';').map((part) => part.trim().toLowerCase());
  const type = types.find((one) => one === essence);
  if (type === undefined) throw refused(`Send Content-Type: ${types.join(' or ')}.`);
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length);
  if (charset !== undefined && charset.replaceAll('"', '') !== 'utf-8') throw refused(`Send the ${what} in UTF-8.`);
  return type;
}
