import { randomUUID } from 'node:crypto';
import { type Database, openDatabase } from '../../activities/database.ts';
import { writeId } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { runOperation } from '../../activities/write/run-operation.ts';
import type { Company } from './companies.ts';
import { heldAtItsEnd } from './held-operation.ts';
import type { System } from './system.ts';
import { writeArguments } from './write-arguments.ts';

/** Connections whose lock timeout is longer than a test holds what it runs with them. */
export function openPatientDatabase({ environment }: System): Database {
  return openDatabase({
    connectionString: environment['DATABASE_URL'] ?? '',
    writePoolMax: 4,
    readPoolMax: 1,
    // Half of it is the limit for locks.
    statementTimeoutMs: 240_000,
    applicationName: 'test-held',
  });
}

/** Runs a write that waits before its COMMIT for as long as the test holds (`hold`). */
export function runHeld(
  database: Database,
  company: Company,
  operation: Operation,
  { body, params }: { readonly body: object; readonly params?: Readonly<Record<string, string>> },
) {
  const args = writeArguments(company, operation, body, randomUUID(), { ...(params && { params }) });
  const facts = {
    writeId: writeId(company.id, operation.name, args.key),
    requestedAt: new Date().toISOString(),
    workflowId: `held:${args.key}`,
    attempt: 1,
  };
  return runOperation({ database, operations: [heldAtItsEnd(operation)] }, args, facts, { patience: 'patient' });
}
