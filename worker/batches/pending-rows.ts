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
import { attemptPolicyOf } from '../../activities/write/attempt-policy.ts';
import { namedResources } from '../../activities/write/named-resources.ts';
import type { GroupItem, WriteArguments } from '../../workflows/messages.ts';
import type { ChunkFindings } from './chunk-findings.ts';
import { noteOwn, noteOwnWaiting } from './own-outcome.ts';

/** A row that is to become a write. */
export type PendingRow = {
  readonly position: number;
  readonly operation: Operation;
  readonly item: GroupItem;
  /** What it names; see {@link namedResources}. */
  readonly resources: readonly string[];
  /** It is refused, unless its key has a write, or one that this batch has made. */
  readonly refusal: { readonly problem: RowProblem; readonly unless: 'stored' | 'own' } | undefined;
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
  const invalid: InvalidRow[] = [];
  for (const [position, row] of rows.entries()) {
    if (!findings.isPending(position)) continue;
    const checked = checkRow(row, file);
    const problem = 'code' in checked ? problemOf(checked) : undefined;
    const write = 'code' in checked ? checked.unlessStored : checked;
    const number = chunk.first_row + position;
    if (write === undefined) {
      const operation = 'input' in row ? operationOf(row.input, file)?.name : file.operation?.name;
      invalid.push({ position, row: number, key: checked.key, problem, operation });
      continue;
    }
    const { operation } = write;
    const isAllowed = roles !== null && holdsOneOf(roles, operation.roles);
    const item = itemOf(batch, number, write);
    const resources = namedResources(item.args);
    const refusal = isAllowed
      ? problem && { problem, unless: 'stored' as const }
      : { problem: notAllowed(operation, roles), unless: 'own' as const };
    pending.push({ position, operation, item, resources, refusal });
  }
  await refuseInvalid(pool, batch, invalid, findings);
  return pending;
}

/** A row that cannot be a write, as far as this release knows. */
type InvalidRow = {
  readonly position: number;
  readonly row: number;
  readonly key: string | null;
  readonly problem: RowProblem | undefined;
  readonly operation: string | undefined;
};

/** But a release that knew it otherwise may have written it before it could be recorded. */
async function refuseInvalid(
  pool: Pool,
  batch: BatchRow,
  rows: readonly InvalidRow[],
  findings: ChunkFindings,
): Promise<void> {
  if (rows.length === 0) return;
  const keys = rows.flatMap(({ key }) => key ?? []);
  const { known, waiting } = await readOutcomes(pool, batch.company_id, batch.user_id, keys);
  for (const { position, row, key, problem, operation } of rows) {
    const found = known.get(key ?? '');
    const asked = found === undefined ? waiting.get(key ?? '') : undefined;
    const own = submissionOfRow(batch.id, row);
    if (found?.submission_id === own) noteOwn(findings, { position, operation }, found);
    else if (asked?.submission_id === own) noteOwnWaiting(findings, { position, operation }, asked);
    else findings.note(position, 'refused', { problem, operation });
  }
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
    policy: attemptPolicyOf(operation),
    actor: { userId: batch.user_id },
    request: { id: batch.request_id, method: operation.method, path: pathOf(operation, input.params) },
    submissionId: submissionOfRow(batch.id, row),
  };
  return { args, workflowId: workflowIdOf(batch.company_id, key), summary: '' };
}
