import { OPERATIONS } from '../operation-list.ts';
import { answersOf, writesOf } from './answers/compare.ts';
import type { Control } from './control.ts';
import { NO_REJECTIONS } from './record.ts';

/** Of a write `w` the audit row `a` that has told of its end first. */
const TELLS_OF_ITS_END = `(a.status = 'new'
        OR w.outcome = 'rejected' AND a.status = 'failed' AND a.error_code NOT IN (${NO_REJECTIONS}))`;

/** The time of the database orders what happened: it is taken for granted that its clock is never set back. */
export const HISTORY_CONTROLS: readonly Control[] = [
  {
    name: 'closed-periods',
    sentence:
      'No entry of a closed period was posted while that period was closed, but those that close or reopen a fiscal year.',
    closesMonth: false,
    of: writesOf('updateCompanySettings'),
    // An entry takes the company's row after its key was claimed and before its write was completed, and so do settings. Only
    // what was closed in that whole time is a violation. Settings that were changed by SQL have no answer: then, and before
    // the first answer, nothing is known.
    sql: `
      WITH settings AS NOT MATERIALIZED (
        SELECT company_id, version, closed_through, completed_at, lead(version) OVER later AS next_version,
          lead(claimed_at) OVER later AS next_at
        FROM (
          SELECT company_id, (body ->> 'version')::int AS version, (body ->> 'booksClosedThrough')::date AS closed_through,
            claimed_at, completed_at
          FROM (${answersOf(['updateCompanySettings'])}) AS answered
          UNION ALL
          SELECT v.company_id, v.version, (v.settings ->> 'books_closed_through')::date, w.claimed_at, w.completed_at
          FROM settings_versions v JOIN idempotent_writes w ON w.company_id = v.company_id AND w.write_id = v.write_id
          WHERE entry_kind(w.operation) = 'closing'
        ) AS known
        WINDOW later AS (PARTITION BY company_id ORDER BY version)
      ), moments AS NOT MATERIALIZED (
        SELECT company_id, completed_at AS at, version, NULL::uuid AS write_id FROM settings
        UNION ALL
        SELECT w.company_id, w.claimed_at, NULL, w.write_id FROM idempotent_writes w
        WHERE w.outcome = 'succeeded' AND w.company_id IN (SELECT company_id FROM settings WHERE closed_through IS NOT NULL)
      ), posted AS NOT MATERIALIZED (
        SELECT company_id, write_id, max(version) OVER (PARTITION BY company_id ORDER BY at) AS version FROM moments
      )
      SELECT e.company_id, e.id, e.entry_date, s.closed_through, s.version FROM posted p
      JOIN settings s ON s.company_id = p.company_id AND s.version = p.version
      JOIN companies c ON c.id = s.company_id
      JOIN journal_entries e ON e.company_id = p.company_id AND e.write_id = p.write_id
      JOIN idempotent_writes w ON w.company_id = p.company_id AND w.write_id = p.write_id
      WHERE e.entry_date <= s.closed_through AND entry_kind(e.operation) = 'normal'
        AND coalesce(s.next_version, c.version + 1) = s.version + 1 AND coalesce(s.next_at > w.completed_at, true)`,
  },
  {
    name: 'number-order',
    sentence: 'Invoices were finalized, and payments, credit notes and refunds made, in the order of their numbers.',
    closesMonth: false,
    of: 'invoices WHERE number IS NOT NULL UNION ALL SELECT company_id FROM payments',
    // The counter is locked from taking a number to the COMMIT, so that a higher number is completed later; those of a set
    // are completed together. Payments, credit notes and refunds that are older than their numbers have them in the order of
    // `created_at`, when their transactions began. Both ways, what was completed before another one began has the lower number.
    sql: `
      SELECT company_id, id, number, completed_at FROM (
        SELECT i.company_id, i.id, i.number, w.completed_at,
          lag(w.completed_at) OVER (PARTITION BY i.company_id ORDER BY i.number) AS lower_completed_at
        FROM invoices i
        JOIN journal_entries e ON e.company_id = i.company_id AND e.id = i.journal_entry_id
        JOIN idempotent_writes w ON w.company_id = e.company_id AND w.write_id = e.write_id
        WHERE i.number IS NOT NULL
      ) AS numbered WHERE completed_at < lower_completed_at
      UNION ALL
      SELECT company_id, id, number, completed_at FROM (
        SELECT d.company_id, d.id, d.number, d.created_at, w.completed_at,
          min(w.completed_at) OVER (PARTITION BY d.kind, d.company_id ORDER BY d.number DESC
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS higher_completed_at
        FROM (
          SELECT 'payment' AS kind, company_id, id, number, created_at FROM payments
          UNION ALL SELECT 'credit_note', company_id, id, number, created_at FROM credit_notes
          UNION ALL SELECT 'refund', company_id, id, number, created_at FROM refunds
        ) AS d
        JOIN idempotent_writes w ON w.company_id = d.company_id AND w.write_id = d.id
      ) AS numbered WHERE higher_completed_at < created_at`,
  },
  {
    name: 'labels',
    sentence:
      'An entry, an audit row and an event name the operation of their write, and the event its resource and request; a document has the entry of its own write, and an entry the time of its own.',
    closesMonth: false,
    of: 'journal_entries',
    sql: `
      SELECT e.company_id, w.write_id, w.operation, e.operation AS labelled, 'journal_entries' AS found_in, e.id::text
      FROM journal_entries e
      JOIN idempotent_writes w ON w.company_id = e.company_id AND w.write_id = e.write_id
      -- The time of an entry is when its transaction began, which has claimed the key of its write.
      WHERE e.operation <> w.operation
        OR e.created_at NOT BETWEEN w.claimed_at - interval '1 hour' AND w.claimed_at + interval '1 second'
      UNION ALL
      SELECT a.company_id, w.write_id, w.operation, a.operation_name, 'idempotent_write_audit_log', a.id::text
      FROM idempotent_write_audit_log a
      JOIN idempotent_writes w ON w.company_id = a.company_id AND w.write_id = a.deterministic_id
      WHERE ${TELLS_OF_ITS_END} AND (a.operation_name, a.operation_type, a.idempotency_key, a.request_id)
        IS DISTINCT FROM (w.operation, w.type, w.idempotency_key, w.request_id)
      UNION ALL
      SELECT o.company_id, w.write_id, w.operation, o.kind, 'outbox', o.id::text FROM outbox o
      JOIN idempotent_writes w ON w.company_id = o.company_id AND w.write_id = o.write_id
      JOIN (VALUES ${OPERATIONS.map(({ name, event }) => `('${name}', '${event}')`).join(', ')}) AS known (operation, kind)
        ON known.operation = w.operation
      WHERE o.kind <> known.kind OR (o.payload ->> 'requestId', o.payload -> 'resource')
        IS DISTINCT FROM (w.request_id, jsonb_build_object('type', w.resource_type, 'id', w.resource_id, 'url', w.location))
      UNION ALL
      SELECT d.company_id, e.write_id, d.made_by, e.operation, d.found_in, d.id::text FROM (
        SELECT company_id, id, journal_entry_id, 'createPayment' AS made_by, 'payments' AS found_in FROM payments
        UNION ALL SELECT company_id, id, journal_entry_id, 'createRefund', 'refunds' FROM refunds
        UNION ALL SELECT company_id, id, journal_entry_id, 'createCreditNote', 'credit_notes' FROM credit_notes
        UNION ALL SELECT company_id, id, journal_entry_id, 'writeOffInvoice', 'write_offs' FROM write_offs
        UNION ALL SELECT company_id, id, journal_entry_id, NULL, 'inventory_movements' FROM inventory_movements
      ) AS d JOIN journal_entries e ON e.company_id = d.company_id AND e.id = d.journal_entry_id
      WHERE e.write_id <> d.id OR e.operation <> d.made_by
      UNION ALL
      SELECT d.company_id, w.write_id, w.operation, e.operation, d.found_in, d.id::text FROM (
        SELECT company_id, id, journal_entry_id AS entry_id, 'finalizeInvoice' AS made_by, 'invoices' AS found_in FROM invoices
        UNION ALL SELECT company_id, id, journal_entry_id, 'executePayroll', 'pay_runs' FROM pay_runs
        UNION ALL SELECT company_id, id, void_entry_id, 'voidPayRun', 'pay_runs' FROM pay_runs
        UNION ALL SELECT i.company_id, i.id, e.id, 'voidInvoice', 'invoices' FROM invoices i
          JOIN journal_entries e ON e.company_id = i.company_id AND e.reverses = i.journal_entry_id
        UNION ALL SELECT company_id, id, void_entry_id, 'voidPayment', 'payments' FROM payments
        UNION ALL SELECT company_id, id, void_entry_id, 'voidRefund', 'refunds' FROM refunds
        UNION ALL SELECT company_id, id, void_entry_id, 'voidCreditNote', 'credit_notes' FROM credit_notes
        UNION ALL SELECT company_id, invoice_id, journal_entry_id, 'writeOffInvoice', 'invoices' FROM write_offs
        UNION ALL SELECT company_id, invoice_id, recover_entry_id, 'recoverWriteOff', 'invoices' FROM write_offs
      ) AS d
      JOIN journal_entries e ON e.company_id = d.company_id AND e.id = d.entry_id
      JOIN idempotent_writes w ON w.company_id = e.company_id AND w.write_id = e.write_id
      WHERE e.operation <> d.made_by OR w.resource_id <> d.id::text
      UNION ALL
      SELECT company_id, write_id, NULL, operation, 'journal_entries', id::text FROM journal_entries
      WHERE operation IN ('createJournalEntry', 'reverseJournalEntry') AND write_id <> id`,
  },
  {
    name: 'authors',
    sentence:
      'The member who made a write is the same in its record and its audit row, and on the pay run or workflow trigger that it made.',
    closesMonth: false,
    of: `idempotent_writes WHERE outcome = 'succeeded'`,
    sql: `
      SELECT a.company_id, w.write_id, w.operation, w.user_id, a.user_id AS named FROM idempotent_write_audit_log a
      JOIN idempotent_writes w ON w.company_id = a.company_id AND w.write_id = a.deterministic_id
      WHERE ${TELLS_OF_ITS_END} AND a.user_id IS DISTINCT FROM w.user_id
      UNION ALL
      SELECT r.company_id, w.write_id, w.operation, w.user_id, r.created_by FROM pay_runs r
      JOIN idempotent_writes w ON w.company_id = r.company_id AND w.write_id = r.id
      WHERE r.created_by <> w.user_id
      UNION ALL
      SELECT t.company_id, w.write_id, w.operation, w.user_id, t.user_id FROM workflow_triggers t
      JOIN idempotent_writes w ON w.company_id = t.company_id AND w.write_id = t.id
      WHERE t.user_id <> w.user_id`,
  },
  {
    name: 'approvals',
    sentence:
      'A pay run was approved, executed and voided by the members who made those writes, and a draft was approved before it was executed.',
    closesMonth: false,
    of: 'pay_runs',
    sql: `
      SELECT r.company_id, r.id, r.status, r.approved_by, approving.user_id AS approved, r.executed_by,
        executing.user_id AS executed, r.voided_by, voiding.user_id AS voided
      FROM pay_runs r
      LEFT JOIN (${answersOf(['createPayRun'])}) AS creating
        ON creating.company_id = r.company_id AND creating.write_id = r.id
      LEFT JOIN (SELECT company_id, resource_id::uuid AS id, user_id, completed_at FROM ${writesOf('approvePayRun')}) AS approving
        ON approving.company_id = r.company_id AND approving.id = r.id
      LEFT JOIN (SELECT company_id, resource_id::uuid AS id, user_id, claimed_at, completed_at FROM ${writesOf('executePayroll')}) AS executing
        ON executing.company_id = r.company_id AND executing.id = r.id
      LEFT JOIN (SELECT company_id, resource_id::uuid AS id, user_id FROM ${writesOf('voidPayRun')}) AS voiding
        ON voiding.company_id = r.company_id AND voiding.id = r.id
      WHERE r.approved_by IS DISTINCT FROM approving.user_id OR r.executed_by IS DISTINCT FROM executing.user_id
        OR r.voided_by IS DISTINCT FROM voiding.user_id OR (r.status = 'voided') <> (voiding.id IS NOT NULL)
        OR (r.status IN ('executed', 'voided')) <> (executing.id IS NOT NULL)
        OR (r.status = 'draft') <> (creating.body ->> 'status' = 'draft' AND approving.id IS NULL AND executing.id IS NULL)
        OR (creating.body ->> 'status' = 'draft' AND executing.id IS NOT NULL
          AND (approving.id IS NULL OR approving.completed_at > executing.completed_at))`,
  },
  {
    name: 'difference-reasons',
    sentence:
      'A difference with the bank beyond the tolerance of its moment has a reason, and each reconciliation is kept with what was posted for it.',
    closesMonth: false,
    of: 'reconciliations',
    // The entry of a difference holds the company's row until its COMMIT, and each version of the settings is timed under a
    // lock on it: the version of that moment is the last one before the write was completed.
    sql: `
      SELECT coalesce(m.company_id, r.company_id) AS company_id, coalesce(m.matched_by, r.id) AS id,
        posted.difference_minor, r.tolerance_minor, settings.tolerance_minor AS tolerance_then, r.reason
      FROM (
        SELECT DISTINCT company_id, matched_by, bank_transaction_id FROM bank_matches WHERE bank_transaction_id IS NOT NULL
      ) AS m
      FULL JOIN reconciliations r ON r.company_id = m.company_id AND r.id = m.matched_by
      LEFT JOIN idempotent_writes w ON w.company_id = r.company_id AND w.write_id = r.id
      CROSS JOIN LATERAL (
        SELECT coalesce(sum(l.amount_minor), 0) AS difference_minor FROM bank_transactions t
        JOIN journal_entries e ON e.company_id = t.company_id AND e.write_id = r.id
        JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id AND l.account_id = t.account_id
        WHERE t.company_id = r.company_id AND t.id = r.bank_transaction_id
      ) AS posted
      LEFT JOIN LATERAL (
        SELECT (v.settings ->> 'reconcile_tolerance_minor')::bigint AS tolerance_minor FROM settings_versions v
        WHERE v.company_id = r.company_id AND v.changed_at <= w.completed_at ORDER BY v.version DESC LIMIT 1
      ) AS settings ON true
      WHERE m.bank_transaction_id IS DISTINCT FROM r.bank_transaction_id
        OR posted.difference_minor IS DISTINCT FROM r.difference_minor
        OR posted.difference_minor <> 0 AND r.tolerance_minor IS DISTINCT FROM settings.tolerance_minor
        OR r.reason IS NULL AND abs(posted.difference_minor) > settings.tolerance_minor`,
  },
  {
    name: 'erasures',
    sentence:
      'A sealed row has lost its salt only by an erasure that was asked for, and confirmed by another person or made by the owner of the database; no more rows than it tells.',
    closesMonth: false,
    of: 'seal_salts',
    sql: `
      SELECT s.company_id, s.rows AS without_salt, coalesce(e.rows, 0) AS told
      FROM (
        SELECT k.company_id, count(*) AS rows FROM seal_salts k CROSS JOIN LATERAL jsonb_object_keys(k.erased) GROUP BY 1
      ) AS s
      LEFT JOIN (
        SELECT (r ->> 'company')::uuid AS company_id, sum((r ->> 'salts')::bigint) AS rows
        FROM erasures CROSS JOIN LATERAL jsonb_array_elements(result) AS r GROUP BY 1
      ) AS e ON e.company_id = s.company_id
      WHERE s.rows <> coalesce(e.rows, 0)`,
  },
];
