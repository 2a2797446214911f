import { randomUUID } from 'node:crypto';
import { type Database, openDatabase } from '../../activities/database.ts';
import { writeId } from '../../activities/identity.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { hasEnded, runOperation } from '../../activities/write/run-operation.ts';
import type { Prepare } from './companies.ts';
import { writeArguments } from './write-arguments.ts';

/** See `Prepare`; the connections are opened with the first use. */
export function openPreparation(appUrl: string): { readonly prepare: Prepare; close(): Promise<void> } {
  let database: Database | undefined;
  return {
    async prepare(company, name, body, { params, key = randomUUID() } = {}) {
      database ??= openDatabase({
        connectionString: appUrl,
        writePoolMax: 4,
        readPoolMax: 1,
        statementTimeoutMs: 60_000,
        applicationName: 'test-prepare',
      });
      const operation = OPERATIONS.find((one) => one.name === name);
      if (operation === undefined) throw new Error(`There is no operation ${name}`);
      const args = writeArguments(company, operation, body, key, params);
      const facts = {
        writeId: writeId(company.id, name, args.key),
        requestedAt: new Date().toISOString(),
        workflowId: `prepared:${args.key}`,
        attempt: 1,
      };
      const attempt = await runOperation({ database, operations: OPERATIONS }, args, facts, {
        patience: 'patient',
      });
      if (!hasEnded(attempt)) throw new Error(`${name} waits for an approval`);
      const { result, row } = attempt;
      if (result.outcome !== 'succeeded') throw new Error(`${name}: ${row.response_body.toString()}`);
      return JSON.parse(row.response_body.toString());
    },
    async close() {
      await database?.close();
    },
  };
}
