import { SEALED_LOGS, type SealedLog } from '../seal/content.ts';
import { isSigned, type SealKeys } from '../seal/published-head.ts';
import { publicKeyOf } from '../seal/signing-key.ts';
import { BEGINNING, SEAL_FINDINGS, type SealFinding, type SealPlace, verifyLog } from '../seal/verify-log.ts';
import { type Ask, type AuditCheck, CouldNotAsk, type Step } from './check.ts';
import { type Finding, type FindingKind, findingOf } from './finding.ts';
import { MOST_ROWS, thereIsMore } from './most-rows.ts';

/** Each sealed row with its leaf, and the leaves with chain and trees: company by company, a page at a time. */
export const SEALS_CHECK: AuditCheck = {
  name: 'seals',
  reads: 'the seal of entries and audit rows',
  each: 'company',
  async *run({ companyIds: [companyId] }, { ask, cursor, signal }) {
    if (companyId === undefined) return;
    const { log: last, ...place } = (cursor ?? { log: SEALED_LOGS[0], ...BEGINNING }) as SealPlace & { log: SealedLog };
    const database = { query: async <R>(sql: string, values: unknown[] = []) => ({ rows: await ask<R>(sql, values) }) };
    for (const log of SEALED_LOGS.slice(SEALED_LOGS.indexOf(last))) {
      const from = log === last ? place : BEGINNING;
      for await (const page of verifyLog(database as never, { companyId, log, from })) {
        signal.throwIfAborted();
        yield {
          checked: { seals: page.rows },
          findings: page.findings.map(toFinding),
          cursor: { log, ...page.after },
        };
      }
    }
  },
};

/** Where a batch is not of its epoch: epochs never fall, and each goes on from the end of a batch of one before. */
export const EPOCHS_CHECK: AuditCheck = {
  name: 'epochs',
  reads: 'the epochs of the seal',
  each: 'company',
  async *run({ companyIds: [companyId] }, { ask, signal }) {
    signal.throwIfAborted();
    if (companyId === undefined) return;
    const rows = await ask<{ log: SealedLog; number: string }>(
      `SELECT b.log, b.first_number::text AS number FROM (
         SELECT b.*, lag(b.epoch, 1, 1) OVER (PARTITION BY b.log ORDER BY b.first_number) AS before
         FROM seal_batches b WHERE b.company_id = $1
       ) AS b
       WHERE b.epoch < b.before OR NOT EXISTS (SELECT FROM seal_epochs e WHERE e.epoch = b.epoch) OR EXISTS (
         SELECT FROM seal_epoch_starts s WHERE s.company_id = $1 AND s.log = b.log AND CASE
           WHEN s.number < b.first_number THEN s.epoch > b.epoch
           ELSE s.epoch <= b.epoch OR s.number < b.last_number OR s.number = b.last_number AND s.digest <> b.head END)
       ORDER BY b.log, b.first_number LIMIT ${MOST_ROWS + 1}`,
      [companyId],
    );
    const findings = rows.slice(0, MOST_ROWS).map(({ log, number }) =>
      findingOf({
        ...{ kind: 'seal-epoch-altered', companyId, table: 'seal_batches', rowId: number },
        detail: `A batch is not of the epoch that it says, or one goes on from elsewhere: number ${number} of the ${log} log.`,
      }),
    );
    yield { findings: rows.length > MOST_ROWS ? [...findings, thereIsMore('seal-epoch-altered')] : findings };
  },
};

const TABLES = { journal: 'journal_entries', audit: 'idempotent_write_audit_log' } as const;

function toFinding({ kind, companyId, log, number, rowId, writeId }: SealFinding): Finding {
  const table = rowId === null ? 'seal_batches' : TABLES[log];
  return findingOf({
    ...{ kind, companyId, table, rowId: rowId ?? String(number), writeId },
    detail: `${SEAL_FINDINGS[kind]}: number ${number} of the ${log} log.`,
  });
}

/** A head as it was published, and what the database has at its number. */
type HeadRow = {
  readonly company_id: string;
  readonly log: SealedLog;
  readonly position: number;
  readonly head: string;
  readonly key_id: string;
  readonly signature: Buffer;
  readonly public_key: Buffer | null;
  readonly digest: string | null;
  readonly previous: string | null;
  readonly epoch: number;
  readonly number: string;
  /** Of the batch that it ends with. */
  readonly batch_epoch: number | null;
  /** Whether its first number is the one behind the head before, if that is there. */
  readonly is_behind: boolean;
};

const HEADS_A_PAGE = 1_000;

/**
 * Each published head that the database has: its signature, the head before, and the chain at its number. `keys`: as somebody has
 * kept them; those of the database, if they are left out.
 */
export function headsCheck(keys?: SealKeys): AuditCheck {
  return {
    name: 'heads',
    reads: 'the published heads of the seal',
    each: 'company',
    async *run({ companyIds: [companyId] }, { ask, signal }) {
      let after: readonly [string, number] = ['', 0];
      for (;;) {
        signal.throwIfAborted();
        const heads = await ask<HeadRow>(
          `SELECT h.company_id, h.log, h.position, h.head, h.key_id, h.signature, k.public_key, encode(b.head, 'hex') AS digest,
           encode(sha256(convert_to(p.head, 'UTF8')), 'hex') AS previous, h.epoch, h.number::text, b.epoch AS batch_epoch,
           CASE WHEN h.position = 1 THEN h.first_number = 1 ELSE (h.first_number <> p.number + 1) IS NOT TRUE END AS is_behind
         FROM seal_heads h
         LEFT JOIN seal_keys k USING (key_id)
         LEFT JOIN seal_heads p ON p.company_id = h.company_id AND p.log = h.log AND p.position = h.position - 1
         LEFT JOIN LATERAL (
           SELECT b.head, b.epoch FROM seal_batches b
           WHERE b.company_id = h.company_id AND b.log = h.log AND b.first_number <= h.number AND b.last_number = h.number
           ORDER BY b.first_number DESC LIMIT 1
         ) AS b ON true
         WHERE h.company_id = $1 AND (h.log, h.position) > ($2, $3) ORDER BY h.log, h.position LIMIT ${HEADS_A_PAGE}`,
          [companyId, ...after],
        );
        yield { findings: heads.flatMap((head) => faultsOfHead(head, keys ?? keysOf(head))) };
        const last = heads.at(-1);
        if (last === undefined || heads.length < HEADS_A_PAGE) return;
        after = [last.log, last.position];
      }
    },
  };
}

export const HEADS_CHECK: AuditCheck = headsCheck();

function keysOf({ key_id, public_key }: HeadRow): SealKeys {
  return new Map(public_key === null ? [] : [[key_id, publicKeyOf(public_key)]]);
}

type Said = Readonly<Record<'companyId' | 'log' | 'digest' | 'previous', string>> &
  Readonly<Record<'position' | 'epoch' | 'number', number>>;

/** Whether the columns beside it, and the batch that it ends with, are what it says itself. */
function isOfRow({ companyId, log, position, epoch, number }: Said, row: HeadRow): boolean {
  const isOfPlace = companyId === row.company_id && log === row.log && position === row.position;
  return (
    isOfPlace && String(number) === row.number && epoch === row.epoch && epoch === row.batch_epoch && row.is_behind
  );
}

const NO_HEAD = '0'.repeat(64);

function faultsOfHead(row: HeadRow, keys: SealKeys): Finding[] {
  const told = (kind: FindingKind, detail: string) =>
    findingOf({ kind, companyId: row.company_id, table: 'seal_heads', rowId: `${row.log}/${row.position}`, detail });
  const published = { head: row.head, keyId: row.key_id, signature: row.signature.toString('base64') };
  if (!isSigned(published, keys))
    return [told('head-forged', 'The signature of a published head is not by the key that it names.')];
  const said = JSON.parse(row.head) as Said;
  const { digest, previous } = said;
  return [
    ...(digest !== row.digest || isOfRow(said, row)
      ? []
      : [told('head-differs', 'A published head says another place, number or epoch of itself than the database.')]),
    ...(digest === row.digest ? [] : [told('head-differs', 'The chain is not at a published head what it was then.')]),
    ...(previous === (row.position === 1 ? NO_HEAD : row.previous)
      ? []
      : [told('head-missing', 'The head before a published head is another one, or is not there.')]),
  ];
}

/** Rows that the sealer has gone past: they came behind its back, or their seal was removed. */
export const UNSEALED_CHECK: AuditCheck = {
  name: 'unsealed',
  reads: 'rows without a seal',
  each: 'companies',
  async *run({ companyIds }, { ask, signal }) {
    signal.throwIfAborted();
    const [position] = await ask<{ phase: string }>('SELECT phase FROM seal_position');
    if (position === undefined) {
      yield await findNoPosition(ask);
      return;
    }
    if (position.phase !== 'follow') throw new CouldNotAsk('the sealer is sweeping: ask again when SealBehind is over');
    for (const [log, sql] of Object.entries(UNSEALED)) yield await findUnsealed(ask, log as SealedLog, sql, companyIds);
  },
};

/** Where nothing was ever sealed, there is none, which the number of seals tells. */
async function findNoPosition(ask: Ask): Promise<Step> {
  const [sealed] = await ask('SELECT FROM seal_epochs UNION ALL SELECT FROM seal_batches LIMIT 1');
  if (sealed === undefined) return {};
  const detail = 'The place that the sealer has come to is gone: which rows came behind its back, nobody can say.';
  return { findings: [findingOf({ kind: 'row-unsealed', table: 'seal_position', detail })] };
}

/**
 * A row whose transaction is behind the sealer; one of no transaction, which only a month that came back from the archive has, whose
 * rows were compared then; and one of a transaction that is still to come.
 */
const UNSEALED: Readonly<Record<SealedLog, string>> = {
  journal: `
    SELECT e.company_id, e.id::text, e.write_id FROM journal_entries e, seal_position p
    WHERE e.company_id = ANY ($1) AND (e.created_xid < p.xid OR e.created_xid >= pg_snapshot_xmax(pg_current_snapshot()))
      AND NOT EXISTS (SELECT FROM sealed_entries s WHERE s.company_id = e.company_id AND s.entry_id = e.id)`,
  audit: `
    SELECT a.company_id, a.id::text, a.deterministic_id AS write_id FROM idempotent_write_audit_log a, seal_position p
    WHERE a.company_id = ANY ($1) AND (a.xid < p.xid OR a.xid >= pg_snapshot_xmax(pg_current_snapshot())
        OR a.xid IS NULL AND NOT EXISTS (SELECT FROM archived_audit_months() m
          WHERE a.timestamp >= m.month AND a.timestamp < m.month + interval '1 month'))
      AND NOT EXISTS (SELECT FROM sealed_audit_rows s
        WHERE s.company_id = a.company_id AND s.row_id = a.id AND s.row_timestamp = a.timestamp)`,
};

async function findUnsealed(ask: Ask, log: SealedLog, sql: string, companyIds: readonly string[]): Promise<Step> {
  const rows = await ask<{ company_id: string; id: string; write_id: string | null }>(
    `${sql} LIMIT ${MOST_ROWS + 1}`,
    [companyIds],
    'by hash',
  );
  const findings = rows.slice(0, MOST_ROWS).map(({ company_id: companyId, id: rowId, write_id: writeId }) =>
    findingOf({
      ...{ kind: 'row-unsealed', companyId, table: TABLES[log], rowId, writeId },
      detail: 'A row is not sealed, and rows that were written after it are.',
    }),
  );
  return { findings: rows.length > MOST_ROWS ? [...findings, thereIsMore('row-unsealed')] : findings };
}
