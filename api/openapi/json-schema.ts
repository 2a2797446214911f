import { z } from 'zod';

export type Json = Readonly<Record<string, unknown>>;

/**
 * The schema as it stands in OpenAPI 3.1, whose dialect is JSON Schema 2020-12. As input, members with a default are
 * optional, and other members than those named are allowed where the schema is not strict: as clients should see answers.
 */
export function toJsonSchema(schema: z.ZodType, io: 'input' | 'output' = 'input'): Json {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    target: 'draft-2020-12',
    io,
    override: ({ jsonSchema }) => {
      // zod spells a format out as a pattern of a hundred characters and more: the format's name says it.
      if (jsonSchema.format === undefined) return;
      delete jsonSchema.pattern;
      delete jsonSchema.allOf;
    },
  });
  return rest;
}

/** `/api/invoices/:invoiceId/finalize` is `/api/invoices/{invoiceId}/finalize`. */
export function toOpenApiPath(path: string): string {
  return path.replace(/:(\w+)/g, '{$1}');
}

/** `journalEntry` and `journal_entry` are `JournalEntry`, a name among the document's schemas. */
export function schemaName(resourceType: string): string {
  return resourceType.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

export function schemaRef(resourceType: string): Json {
  return { $ref: `#/components/schemas/${schemaName(resourceType)}` };
}
