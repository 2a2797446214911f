/** The parts of the served document that tests look at. */
export type Document = {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, RouteDocument>>>>;
  readonly webhooks: Readonly<Record<string, { readonly post: WebhookDocument }>>;
  readonly components: { readonly schemas: Readonly<Record<string, { readonly additionalProperties?: unknown }>> };
};

type WebhookDocument = {
  readonly operationId: string;
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly schema: object }[];
  readonly requestBody: { readonly content: { readonly 'application/json': { readonly schema: object } } };
};

export type RouteDocument = {
  readonly operationId: string;
  readonly 'x-operation'?: {
    readonly name: string;
    readonly type: string;
    readonly roles: readonly string[];
    readonly event: string;
    readonly rejections: readonly { readonly code: string; readonly status: number }[];
  };
  readonly parameters: readonly {
    readonly $ref?: string;
    readonly name?: string;
    readonly in?: string;
    readonly examples?: Readonly<Record<string, { readonly value: string }>>;
  }[];
  readonly requestBody?: {
    readonly content: {
      readonly 'application/json'?: {
        readonly schema: {
          readonly properties: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
          readonly required: readonly string[];
          readonly additionalProperties: boolean;
        };
        readonly examples: Readonly<Record<string, { readonly value: Readonly<Record<string, unknown>> }>>;
      };
    };
  };
  readonly responses: Readonly<Record<string, ResponseDocument>>;
};

type ResponseDocument = {
  readonly description: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly content?: Readonly<Record<string, AnswerContent>>;
  readonly 'x-codes'?: readonly string[];
};

type AnswerContent = {
  readonly schema: AnswerSchema;
  /** Of each of its lines. */
  readonly 'x-item-schema'?: { readonly $ref: string };
};

type AnswerSchema = {
  readonly $ref?: string;
  readonly properties?: { readonly items?: { readonly items: { readonly $ref: string } } };
};

export type Route = { readonly path: string; readonly method: string; readonly route: RouteDocument };

export async function fetchDocument(url: string): Promise<Document> {
  return (await (await fetch(`${url}/openapi.json`)).json()) as Document;
}

export function routesOf({ paths }: Document): Route[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, route]) => ({ path, method, route })),
  );
}

/** The error codes that a status can carry. */
export function codesOf(response: ResponseDocument | undefined): readonly string[] {
  return response?.['x-codes'] ?? [];
}

/** The name of the schema of a read's answer, or of the items of its page. */
export function answerSchemaOf({ responses }: RouteDocument): { readonly name: string; readonly isPage: boolean } {
  const schema = responses['200']?.content?.['application/json']?.schema;
  const item = schema?.properties?.items?.items.$ref;
  const reference = item ?? schema?.$ref ?? '';
  return { name: reference.replace('#/components/schemas/', ''), isPage: item !== undefined };
}

export type RunnableExample = {
  readonly id: string;
  readonly method: 'POST' | 'PATCH';
  readonly path: string;
  readonly body: unknown;
  /** The success that the document promises. */
  readonly status: number;
};

/** Every example of a write, as a client would send it. */
export function examplesOf(document: Document): RunnableExample[] {
  return routesOf(document).flatMap(({ path, method, route }) =>
    Object.entries(route.requestBody?.content['application/json']?.examples ?? {}).map(([name, { value }]) => ({
      id: `${route.operationId}:${name}`,
      method: method === 'patch' ? 'PATCH' : 'POST',
      path: path.replace(/\{(\w+)\}/g, (_, parameter: string) => {
        const found = route.parameters.find((one) => one.name === parameter && one.in === 'path');
        return encodeURIComponent(found?.examples?.[name]?.value ?? `no example of ${parameter}`);
      }),
      body: value,
      status: Number(Object.keys(route.responses).find((status) => status === '200' || status === '201')),
    })),
  );
}
