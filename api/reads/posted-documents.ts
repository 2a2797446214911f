/**
 * What documents have posted in a period, by the dates of entries: `posted (entry_id, times)`, of the current company.
 *
 * A document counts once on the day of its entry, and once less on the day of the entry that reverses it, which is how each of
 * them is voided or taken back, whatever its operation is called. What was posted and taken back within the period is left out.
 *
 * @param from, to the numbers of the parameters with the first day (null: since ever) and the last one
 */
export function postedDocuments({ from, to }: { readonly from: `$${number}`; readonly to: `$${number}` }): string {
  const inPeriod = `company_id = current_company() AND entry_date <= ${to} AND (${from}::date IS NULL OR entry_date >= ${from})`;
  return `posted (entry_id, times) AS MATERIALIZED (
    SELECT entry_id, sum(times) FROM (
      SELECT id AS entry_id, 1 AS times FROM journal_entries WHERE ${inPeriod}
      UNION ALL
      SELECT reverses, -1 FROM journal_entries WHERE reverses IS NOT NULL AND ${inPeriod}
    ) AS each_time GROUP BY entry_id HAVING sum(times) <> 0
  )`;
}

/**
 * What was posted to the accounts with these codes, by the operations of a sub-ledger (and the entries that reverse theirs) and
 * by all others: `ledger (code, currency, own_minor, other_minor)`, of the current company, debit positive.
 *
 * @param codes the number of the parameter with the codes; `operations`, of the one with the operations that post first
 */
export function postedBy({
  from,
  to,
  codes,
  operations,
}: Readonly<Record<'from' | 'to' | 'codes' | 'operations', `$${number}`>>): string {
  return `ledger (code, currency, own_minor, other_minor) AS MATERIALIZED (
    SELECT code, currency, coalesce(sum(amount_minor) FILTER (WHERE is_own), 0),
      coalesce(sum(amount_minor) FILTER (WHERE NOT is_own), 0)
    FROM (
      SELECT a.code, l.currency, l.amount_minor, coalesce(o.operation, e.operation) = ANY (${operations}::text[]) AS is_own
      FROM journal_lines l
      JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
      JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
      LEFT JOIN journal_entries o ON o.company_id = e.company_id AND o.id = e.reverses
      WHERE l.company_id = current_company() AND a.code = ANY (${codes}::text[]) AND e.entry_date <= ${to}
        AND (${from}::date IS NULL OR e.entry_date >= ${from})
    ) AS line GROUP BY code, currency
  )`;
}
