import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import type { Operation } from '../../activities/operation.ts';
import { errorPage } from './docs-errors.ts';
import { openApiDocument } from './document.ts';
import { errorCatalog } from './error-catalog.ts';
import { type Json, toOpenApiPath } from './json-schema.ts';

/**
 * `/openapi.json`, and for people `/docs` and `/docs/errors`. Each is built once, at the first request for it: to build
 * them takes a tenth of a second, and few processes are ever asked. The document's `x-routes` lists the routes that are
 * really served, so that a check from outside finds a route that the document does not describe.
 */
export async function registerDocs(
  app: FastifyInstance,
  operations: readonly Operation[],
  servedRoutes: () => readonly string[],
): Promise<void> {
  let document: Json | undefined;
  const builtDocument = () => (document ??= openApiDocument(operations));
  let json: string | undefined;
  app.get('/openapi.json', async (_request, reply) => {
    json ??= JSON.stringify({ ...builtDocument(), 'x-routes': servedRoutes().map(toOpenApiPath).sort() });
    return reply.type('application/json; charset=utf-8').send(json);
  });

  let errors: ReturnType<typeof errorPage> | undefined;
  app.get('/docs/errors', async (_request, reply) => {
    errors ??= errorPage(errorCatalog(operations));
    return reply.header('content-security-policy', errors.csp).type('text/html; charset=utf-8').send(errors.html);
  });

  // It wants a document at once; the page asks for the one that `transformSpecification` answers.
  await app.register(swagger, { mode: 'static', specification: { document: {} as never } });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: SWAGGER_UI_CSP,
    uiConfig: { layout: 'BaseLayout', deepLinking: true, docExpansion: 'list', displayRequestDuration: true },
    theme: { title: 'AccuBooks API' },
    transformSpecification: builtDocument,
    transformSpecificationClone: false,
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
