import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { ApiProblem } from '../http/problems.ts';

/**
 * The console: the files that `npm run build` has made, at `/console`. What it shows, it asks of this API with the token of whoever
 * has signed in; the files hold nothing, and need no token.
 */
export async function registerConsole(app: FastifyInstance, { folder }: { readonly folder: string }): Promise<void> {
  const isBuilt = existsSync(join(folder, 'index.html'));
  await app.register(
    async (pages) => {
      pages.addHook(
        'onSend',
        async (_request, reply) => void reply.header('content-security-policy', CONTENT_SECURITY_POLICY),
      );
      if (isBuilt) {
        await pages.register(fastifyStatic, {
          ...{ root: join(folder, 'assets'), prefix: '/assets/', wildcard: false, preCompressed: true },
          ...{ immutable: true, maxAge: '365d', decorateReply: true },
        });
      }
      // Each address of the page has the same file: the page finds out what to show there.
      const page = async (_request: unknown, reply: FastifyReply) => {
        if (!isBuilt)
          throw new ApiProblem('route_not_found', { detail: 'The console is not built: npm run build makes it.' });
        return reply.sendFile('index.html', folder, { cacheControl: false, immutable: false });
      };
      pages.get('/', page);
      pages.get('/*', page);
    },
    { prefix: '/console' },
  );
}

/** Its own files and requests to this API; nothing inline, nothing from other hosts, and no text that becomes markup. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');
