import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { ApiConfig } from '../config.ts';
import { ApiProblem } from '../http/problems.ts';

/** What the page has to know before anybody has signed in. */
export type ConsoleConfig = {
  /** The identity provider's code flow; null where the API's tokens come from elsewhere. */
  readonly signIn: {
    readonly issuer: string;
    readonly clientId: string;
    readonly scope: string;
    readonly audience: string;
    /** Of operators' tokens, if there is one. */
    readonly operatorAudience: string | null;
  } | null;
};

/**
 * The console: the files that `npm run build` has made, at `/console`. What it shows, it asks of this API with the token of whoever
 * has signed in; the files hold nothing, and need no token.
 */
export async function registerConsole(app: FastifyInstance, config: ApiConfig): Promise<void> {
  const folder = config.CONSOLE_FOLDER;
  const isBuilt = existsSync(join(folder, 'index.html'));
  const known: ConsoleConfig = { signIn: signInOf(config) };
  const policy = contentSecurityPolicy(known);
  await app.register(
    async (pages) => {
      pages.addHook('onSend', async (_request, reply) => void reply.header('content-security-policy', policy));
      if (isBuilt) {
        await pages.register(fastifyStatic, {
          ...{ root: join(folder, 'assets'), prefix: '/assets/', wildcard: false, preCompressed: true },
          ...{ immutable: true, maxAge: '365d', decorateReply: true },
        });
      }
      pages.get('/config.json', async (_request, reply) => reply.header('cache-control', 'no-store').send(known));
      // Each address of the page has the same file: the page finds out what to show there.
      const page = async (_request: unknown, reply: FastifyReply) => {
        if (!isBuilt)
          throw new ApiProblem('route_not_found', { detail: 'The console is not built: npm run build makes it.' });
        // It names the files of this build: a browser that kept it would ask for those of the build before.
        reply.header('cache-control', 'no-cache');
        return reply.sendFile('index.html', folder, { cacheControl: false, immutable: false });
      };
      // What was there under another build is not the page.
      pages.get('/assets/*', async () => {
        throw new ApiProblem('route_not_found', {
          detail: 'This file is of another build of the console: load the page anew.',
        });
      });
      pages.get('/', page);
      pages.get('/*', page);
    },
    { prefix: '/console' },
  );
}

function signInOf(config: ApiConfig): ConsoleConfig['signIn'] {
  const { CONSOLE_OIDC_CLIENT_ID: clientId, JWT_ISSUER: issuer, JWT_AUDIENCE: audience } = config;
  // The configuration has asked for both with the client.
  if (clientId === undefined || issuer === undefined || audience === undefined) return null;
  const operatorAudience = config.OPERATOR_AUDIENCE ?? null;
  return { issuer, clientId, scope: config.CONSOLE_OIDC_SCOPE, audience, operatorAudience };
}

/**
 * Its own files and requests to this API, and to the identity provider; nothing inline, nothing from other hosts, and no text that
 * becomes markup.
 */
function contentSecurityPolicy({ signIn }: ConsoleConfig): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    `connect-src 'self'${signIn === null ? '' : ` ${new URL(signIn.issuer).origin}`}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');
}
