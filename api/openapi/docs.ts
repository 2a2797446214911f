import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import type { Operation } from '../../activities/operation.ts';
import { errorPage } from './docs-errors.ts';
import { openApiDocument } from './document.ts';
import { errorCatalog } from './error-catalog.ts';
import { toOpenApiPath } from './json-schema.ts';

/**
 * `/openapi.json`, and for people `/docs` and `/docs/errors`; each is made once. `x-routes` of the document names what is
 * really served, so that a route that it does not describe can be told from outside.
 */
export async function registerDocs(
  app: FastifyInstance,
  operations: readonly Operation[],
  servedRoutes: () => readonly string[],
): Promise<void> {
  const document = openApiDocument(operations);
  let json: string | undefined;
  app.get('/openapi.json', async (_request, reply) => {
    // Not at the start: most routes are registered after these.
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

/** Its own files, requests to this API, and the pictures in its style sheet; nothing inline and nothing from elsewhere. */
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
