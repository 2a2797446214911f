import type { BatchRow, ChunkRow, RowProblem } from '../../activities/batches/batch-row.ts';
import { readOutcomes } from '../../activities/batches/batch-store.ts';
import { checkRow, type RowWrite } from '../../activities/batches/check-row.ts';
import { decodeRows } from '../../activities/batches/chunk-content.ts';
import { submissionOfRow } from '../../activities/batches/identity.ts';
import { operationOf } from '../../activities/batches/row.ts';
import { pathOf } from '../../activities/batches/row-path.ts';
import type { Pool } from '../../activities/database.ts';
import { TransientFailure } from '../../activities/failures.ts';
import { fingerprint, workflowIdOf } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { holdsOneOf } from '../../activities/roles.ts';
import { ATTEMPT_POLICY } from '../../activities/write/attempt-policy.ts';
import { namedResources } from '../../activities/write/named-resources.ts';
import type { GroupItem, WriteArguments } from '../../workflows/messages.ts';
import type { ChunkFindings } from './chunk-findings.ts';

/** A row that is to become a write. */
export type PendingRow = {
  readonly position: number;
  readonly operation: Operation;
  readonly item: GroupItem;
  /** What it names; see {@link namedResources}. */
  readonly resources: readonly string[];
  /** Only a new key is refused: one that has a row is answered. */
  readonly refusedIfNew: RowProblem | undefined;
};

/**
 * The rows of a chunk that are pending, as the writes that they are. Refuses those that the API would refuse at the door. Throws
 * TransientFailure where a later release has taken the file.
 */
export async function readPendingRows(
  { operations, pool }: { readonly operations: readonly Operation[]; readonly pool: Pool },
  batch: BatchRow,
  chunk: ChunkRow,
  findings: ChunkFindings,
): Promise<readonly PendingRow[]> {
  if (chunk.content === null) throw new Error('Bug! Rows are pending whose upload has been removed');
  requireKnownOperations(batch, operations);
  const rows = await decodeRows(chunk.content);
  const { roles } = await readOutcomes(pool, batch.company_id, batch.user_id, []);
  const file = {
    operations,
    operation: operations.find(({ name }) => name === batch.operation),
    sha256: batch.file_sha256 ?? '',
  };
  const pending: PendingRow[] = [];
  for (const [position, row] of rows.entries()) {
    if (!findings.isPending(position)) continue;
    const checked = checkRow(row, file);
    const refusedIfNew = 'code' in checked ? problemOf(checked) : undefined;
    const write = 'code' in checked ? checked.unlessStored : checked;
    if (write === undefined) {
      const named = 'input' in row ? operationOf(row.input, file)?.name : file.operation?.name;
      findings.note(position, 'refused', { problem: refusedIfNew, operation: named });
    } else if (roles === null || !holdsOneOf(roles, write.operation.roles)) {
      const problem = notAllowed(write.operation, roles);
      findings.note(position, 'refused', { problem, operation: write.operation.name });
    } else {
      const item = itemOf(batch, chunk.first_row + position, write);
      const resources = namedResources(item.args);
      pending.push({ position, operation: write.operation, item, resources, refusedIfNew });
    }
  }
  return pending;
}

function problemOf({ code, detail, errors }: RowProblem): RowProblem {
  return { code, detail, ...(errors === undefined ? {} : { errors }) };
}

/** A later release has taken the file, which is being rolled out: what this one refuses may be right there. */
function requireKnownOperations(batch: BatchRow, operations: readonly Operation[]): void {
  for (const [index, name] of (batch.operations ?? []).entries()) {
    const operation = operations.find((one) => one.name === name);
    if (operation !== undefined && operation.schemaVersion >= (batch.schema_versions?.[index] ?? 0)) continue;
    throw new TransientFailure(`This release does not know ${name} as the file has it`, { mayHaveCommitted: false });
  }
}

function notAllowed({ name, roles: needed }: Operation, roles: readonly string[] | null): RowProblem {
  if (roles === null)
    return { code: 'not_a_member', detail: 'Who has sent the batch is no longer a member of the company.' };
  return { code: 'forbidden', detail: `${name} needs one of the roles ${needed.join(', ')}.` };
}

/** `row`: from 1, in the file. */
function itemOf(batch: BatchRow, row: number, { operation, key, input }: RowWrite): GroupItem {
  const args: WriteArguments = {
    operation: operation.name,
    companyId: batch.company_id,
    key,
    input,
    fingerprint: fingerprint(operation.name, input),
    schemaVersion: operation.schemaVersion,
    policy: ATTEMPT_POLICY,
    actor: { userId: batch.user_id },
    request: { id: batch.request_id, method: operation.method, path: pathOf(operation, input.params) },
    submissionId: submissionOfRow(batch.id, row),
  };
  return { args, workflowId: workflowIdOf(batch.company_id, key), summary: '' };
}
