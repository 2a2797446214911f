import { z } from 'zod';

export type Json = Readonly<Record<string, unknown>>;

/**
 * The schema for OpenAPI 3.1, whose dialect is JSON Schema 2020-12. As input, members with a default are optional, and a
 * schema that is not strict allows further members, which is how clients should read answers.
 */
export function toJsonSchema(schema: z.ZodType, io: 'input' | 'output' = 'input'): Json {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    target: 'draft-2020-12',
    io,
    override: ({ jsonSchema }) => {
      // zod adds a pattern of over a hundred characters to each format, whose name says enough.
      if (jsonSchema.format === undefined) return;
      delete jsonSchema.pattern;
      delete jsonSchema.allOf;
    },
  });
  return rest;
}

/** Turns `/api/invoices/:invoiceId/finalize` into `/api/invoices/{invoiceId}/finalize`. */
export function toOpenApiPath(path: string): string {
  return path.replace(/:(\w+)/g, '{$1}');
}

/** Turns `journalEntry` and `journal_entry` into `JournalEntry`, the name of a schema of the document. */
export function schemaName(resourceType: string): string {
  return resourceType.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

export function schemaRef(resourceType: string): Json {
  return { $ref: `#/components/schemas/${schemaName(resourceType)}` };
}
