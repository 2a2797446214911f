import type { FastifyRequest } from 'fastify';

/** Longer paths are cut in the audit log. */
const MAX_CHARACTERS = 2_000;

/** Without the query. */
export function pathOf({ url }: FastifyRequest): string {
  return (url.split('?')[0] ?? url).slice(0, MAX_CHARACTERS);
}
