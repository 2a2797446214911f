import { z } from 'zod';
import type { WriteArguments } from '../../workflows/messages.ts';

/** What the row of a lost write is made of. A run may have been started by hand, with anything. */
const writeArguments = z.looseObject({
  operation: z.string().min(1).max(64),
  companyId: z.guid(),
  key: z.string().min(1).max(255),
  input: z.looseObject({ params: z.record(z.string(), z.unknown()), body: z.record(z.string(), z.unknown()) }),
  fingerprint: z.string().regex(/^[0-9a-f]{64}$/),
  schemaVersion: z.int().min(1),
  actor: z.looseObject({ userId: z.guid() }),
  request: z.looseObject({
    id: z.string().min(1).max(128),
    method: z.string().max(10),
    path: z.string().max(2_000),
  }),
  submissionId: z.guid(),
});

/** Undefined where it is not what a write is started with. */
export function readArguments(value: unknown): WriteArguments | undefined {
  return writeArguments.safeParse(value).success ? (value as WriteArguments) : undefined;
}
