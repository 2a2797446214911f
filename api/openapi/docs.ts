import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import type { Operation } from '../../activities/operation.ts';
import { errorPage } from './docs-errors.ts';
import { openApiDocument } from './document.ts';
import { errorCatalog } from './error-catalog.ts';
import { toOpenApiPath } from './json-schema.ts';

/**
 * `/openapi.json`, and for people `/docs` and `/docs/errors`; each is built once. The document's `x-routes` lists the
 * routes that are really served, so that a check from outside finds a route that the document does not describe.
 */
export async function registerDocs(
  app: FastifyInstance,
  operations: readonly Operation[],
  servedRoutes: () => readonly string[],
): Promise<void> {
  const document = openApiDocument(operations);
  let json: string | undefined;
  app.get('/openapi.json', async (_request, reply) => {
    // Built at the first request, since most routes are registered after this one.
    json ??= JSON.stringify({ ...document, 'x-routes': servedRoutes().map(toOpenApiPath).sort() });
    return reply.type('application/json; charset=utf-8').send(json);
  });

  const { html, csp } = errorPage(errorCatalog(operations));
  app.get('/docs/errors', async (_request, reply) =>
    reply.header('content-security-policy', csp).type('text/html; charset=utf-8').send(html),
  );

  await app.register(swagger, { mode: 'static', specification: { document: document as never } });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: SWAGGER_UI_CSP,
    uiConfig: { layout: 'BaseLayout', deepLinking: true, docExpansion: 'list', displayRequestDuration: true },
    theme: { title: 'AccuBooks API' },
  });
}

/** Allows its own files, requests to this API, and images in its style sheet; nothing inline, nothing from other hosts. */
const SWAGGER_UI_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');
