import type { Operation } from '../../../activities/operation.ts';
import { openApiDocument } from '../../../api/openapi/document.ts';

/** What the generator reads of the OpenAPI document. */
export type ApiDocument = {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DocumentedRoute>>>>;
  readonly webhooks: Readonly<Record<string, { readonly post: Pick<DocumentedRoute, 'summary' | 'requestBody'> }>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
};

export type DocumentedRoute = {
  readonly summary: string;
  readonly description: string;
  readonly 'x-operation'?: {
    readonly name: string;
    readonly roles: readonly string[];
    readonly event: string;
    readonly rejections: readonly { readonly code: string }[];
  };
  /** Those by reference are headers. */
  readonly parameters: readonly (
    | { readonly $ref: string }
    | { readonly $ref?: undefined; readonly name: string; readonly in: 'path' | 'query'; readonly schema: Schema }
  )[];
  readonly requestBody?: Content & { readonly required: boolean };
  readonly responses: Readonly<Record<string, Partial<Content>>>;
};

type Content = { readonly content: { readonly 'application/json'?: { readonly schema: Schema } } };

/** A schema of JSON Schema 2020-12, as zod writes them. */
export type Schema = { readonly [keyword: string]: unknown } & {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
};

/** Without the routes of operators, whose tokens no program of a company has. */
export function documentOf(operations: readonly Operation[]): ApiDocument {
  const document = openApiDocument(operations) as unknown as ApiDocument;
  const paths = Object.entries(document.paths).filter(([path]) => !path.startsWith('/operator/'));
  return { ...document, paths: Object.fromEntries(paths) };
}

/** The name of the component that a schema refers to; undefined if it is not a reference. */
export function referredName(schema: Schema | undefined): string | undefined {
  const reference = schema?.['$ref'];
  return typeof reference === 'string' ? reference.replace('#/components/schemas/', '') : undefined;
}
