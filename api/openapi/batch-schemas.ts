import { z } from 'zod';
import { BATCH_STATES, ROW_OUTCOMES } from '../../activities/batches/batch-row.ts';
import { instant, resourceId } from '../../activities/resources/members.ts';

/** What the routes of batches return, and the rows that they take. Members may be added but never removed. */

const rowNumber = () => z.int().min(1).meta({ description: 'Its number in the file, from 1; a CSV header is none' });
const rowKey = () => z.string().nullable().meta({ description: 'null for a row whose key cannot be read' });
const count = () => z.int().min(0);

const pointers = () =>
  z.array(
    z.object({
      in: z.enum(['body', 'path', 'query', 'header', 'operation']),
      pointer: z.string(),
      message: z.string().optional(),
    }),
  );

const batchSchema = z.object({
  key: z.string(),
  id: resourceId(),
  state: z
    .enum(BATCH_STATES)
    .meta({ description: 'receiving: no upload has ended yet. queued: other batches of the company come first' }),
  operation: z
    .string()
    .nullable()
    .meta({ description: 'Of the rows that name none; null where each row names its own' }),
  rows: count().nullable().meta({ description: 'null until the whole file is there' }),
  counts: z
    .object({
      pending: count(),
      pendingApproval: count().meta({
        description:
          'Their writes wait for their approval, with which this changes; the batch is completed without them',
      }),
      succeeded: count(),
      replayed: count(),
      rejected: count(),
      mismatched: count(),
      refused: count(),
      failed: count(),
      cancelled: count(),
    })
    .meta({ description: 'How many rows have come to what' }),
  rowsPerSecond: z.number().nullable().meta({ description: 'null while none is measured' }),
  eta: instant().nullable().meta({ description: 'When it will be completed at this rate' }),
  errors: z
    .array(
      z.object({
        row: rowNumber(),
        key: rowKey(),
        status: z.int().nullable(),
        code: z.string(),
        detail: z.string(),
        errors: pointers(),
      }),
    )
    .meta({
      description:
        'The first twenty rows that are rejected, mismatched, refused or failed; none for those who may not read the ' +
        'results. A failed one whose write was made since has the status of that, and the code with which it failed',
    }),
  actor: z.object({ userId: resourceId() }).meta({ description: 'In whose name the rows are written' }),
  requestId: z.string(),
  sha256: z.string().nullable().meta({ description: 'Of the bytes of the file, in hexadecimal' }),
  createdAt: instant(),
  startedAt: instant().nullable(),
  completedAt: instant()
    .nullable()
    .meta({ description: 'null until it is over: completed, or cancelled with none of its rows pending' }),
  workflow: z.object({ id: z.string(), runId: z.string().nullable(), url: z.string().nullable() }),
});

const OUTCOMES = Object.keys(ROW_OUTCOMES) as (keyof typeof ROW_OUTCOMES)[];

const rowResultSchema = z.object({
  row: rowNumber(),
  key: rowKey(),
  outcome: z.enum(OUTCOMES).meta({
    description:
      'As it stands now. pending_approval: its write waits for its approval, and this becomes succeeded, replayed, rejected or ' +
      'cancelled with it',
  }),
  status: z.int().nullable().meta({
    description:
      'Of the answer that the row would get alone, 202 for one that waits for its approval; null without one',
  }),
  resource: z.record(z.string(), z.unknown()).nullable().meta({ description: 'What the write made or changed' }),
  problem: z
    .record(z.string(), z.unknown())
    .nullable()
    .meta({ description: 'Problem details, as the row would get them alone' }),
});

const validationSchema = z.object({
  rows: count(),
  valid: count(),
  errors: z
    .array(
      z.object({
        row: rowNumber(),
        key: rowKey(),
        code: z.string(),
        errors: pointers(),
      }),
    )
    .meta({ description: 'Each row that would be refused, up to 16 MiB of them' }),
});

const rowSchema = z.object({
  key: z
    .string()
    .optional()
    .meta({ description: 'The idempotency key of the write; without it, one that follows from the file and the row' }),
  operation: z.string().optional().meta({ description: 'That of the query if omitted' }),
  params: z.record(z.string(), z.string()).optional().meta({ description: 'The parameters of the path' }),
  body: z
    .record(z.string(), z.unknown())
    .optional()
    .meta({ description: 'The body of the write; may be omitted where it is empty' }),
});

export const BATCH_SCHEMAS: Readonly<Record<string, z.ZodObject>> = {
  batch: batchSchema,
  batch_summary: batchSchema.omit({ errors: true }),
  batch_row: rowSchema,
  batch_row_result: rowResultSchema,
  batch_validation: validationSchema,
};
