import type pg from 'pg';

/**
 * What the reports should say, worked out from the rows one by one: documents by their own dates, where the product goes by
 * entries, and by loops where it has SQL.
 */

type Row = Readonly<Record<string, string | null>>;

const TABLES = [
  ...['accounts', 'journal_entries', 'journal_lines', 'invoices', 'invoice_lines', 'credit_notes', 'credit_note_lines'],
  ...[
    'payments',
    'refunds',
    'write_offs',
    'inventory_items',
    'inventory_movements',
    'bank_transactions',
    'bank_matches',
  ],
  ...['pay_runs', 'payslips', 'idempotent_writes'],
] as const;

export type Rows = Readonly<Record<(typeof TABLES)[number], readonly Row[]>>;

/** All rows of the company, each column as PostgreSQL writes it. */
export async function readRows(owner: pg.Pool, companyId: string): Promise<Rows> {
  const read = async (table: string) => {
    const { rows } = await owner.query(
      `SELECT (SELECT json_object_agg(key, value) FROM json_each_text(to_json(t))) AS row FROM ${table} t WHERE company_id = $1`,
      [companyId],
    );
    return [table, rows.map(({ row }) => row)] as const;
  };
  return Object.fromEntries(await Promise.all(TABLES.map(read))) as unknown as Rows;
}

/** Amounts by name. */
type Amounts = Map<string, bigint>;

function add(amounts: Amounts, name: string, amount: bigint): void {
  amounts.set(name, (amounts.get(name) ?? 0n) + amount);
}

const minor = (row: Row | undefined, column: string): bigint => BigInt(row?.[column] ?? 0);
const byId = (rows: readonly Row[]) => new Map(rows.map((row) => [row['id'], row]));
const among = (day: string | null | undefined, from: string, to: string): day is string =>
  day !== null && day !== undefined && day >= from && day <= to;

/** A document, with the days on which it began and ceased to count. */
function times(begun: string | null | undefined, ended: string | null | undefined, from: string, to: string): bigint {
  return (among(begun, from, to) ? 1n : 0n) - (among(ended, from, to) ? 1n : 0n);
}

/** `rate currency` → base, tax, credited base, credited tax, written-off tax; without those on which nothing happened. */
export function salesTaxOf(rows: Rows, from: string, to: string): Readonly<Record<string, readonly bigint[]>> {
  const found: Record<string, bigint[]> = {};
  const take = (rate: string | null | undefined, currency: string | null | undefined, amounts: readonly bigint[]) => {
    const name = `${Number(rate) / 1_000} ${currency}`;
    const before = found[name] ?? [0n, 0n, 0n, 0n, 0n];
    found[name] = before.map((amount, index) => amount + (amounts[index] ?? 0n));
  };
  const invoices = byId(rows.invoices);
  const lineOf = (invoiceId: string | null | undefined, number: string | null | undefined) =>
    rows.invoice_lines.find((line) => line['invoice_id'] === invoiceId && line['line_number'] === number);
  for (const line of rows.invoice_lines) {
    const invoice = invoices.get(line['invoice_id'] ?? '');
    const counts = invoice?.['number'] === null ? 0n : times(invoice?.['issue_date'], invoice?.['voided_on'], from, to);
    if (counts === 0n) continue;
    take(line['tax_rate_thousandths'], invoice?.['currency'], [
      counts * minor(line, 'net_minor'),
      counts * minor(line, 'tax_minor'),
    ]);
  }
  for (const note of rows.credit_notes) {
    const counts = times(note['credited_on'], note['voided_on'], from, to);
    for (const line of rows.credit_note_lines.filter((one) => one['credit_note_id'] === note['id'])) {
      if (counts === 0n) continue;
      const rate = lineOf(line['invoice_id'], line['line_number'])?.['tax_rate_thousandths'];
      take(rate, note['currency'], [0n, 0n, counts * minor(line, 'net_minor'), counts * minor(line, 'tax_minor')]);
    }
  }
  for (const invoice of rows.invoices) {
    const relieving = rows.write_offs.filter(
      (row) => row['invoice_id'] === invoice['id'] && row['tax_relief'] === 'true' && minor(row, 'tax_minor') !== 0n,
    );
    if (relieving.every((row) => times(row['written_off_on'], row['recovered_on'], from, to) === 0n)) continue;
    const standing = (isOver: (day: string) => boolean) =>
      relieving
        .filter((row) => isOver(row['written_off_on'] ?? '') && !isOver(row['recovered_on'] ?? 'never'))
        .reduce((sum, row) => sum + minor(row, 'tax_minor'), 0n);
    const lines = rows.invoice_lines.filter((line) => line['invoice_id'] === invoice['id']);
    for (const [sign, relieved] of [
      [1n, standing((day) => day <= to)],
      [-1n, standing((day) => day < from)],
    ] as const) {
      for (const [rate, part] of spread(relieved, lines))
        take(rate, invoice['currency'], [0n, 0n, 0n, 0n, sign * part]);
    }
  }
  return found;
}

/** By largest remainder over the rates that have a tax, ties to the lower one. */
function spread(amount: bigint, lines: readonly Row[]): readonly (readonly [rate: string, part: bigint])[] {
  const taxes: Amounts = new Map();
  for (const line of lines) add(taxes, line['tax_rate_thousandths'] ?? '', minor(line, 'tax_minor'));
  const whole = [...taxes.values()].reduce((sum, tax) => sum + tax, 0n);
  const parts = [...taxes]
    .filter(([, tax]) => tax !== 0n)
    .map(([rate, tax]) => {
      const [product, divisor] = whole < 0n ? [-amount * tax, -whole] : [amount * tax, whole];
      const rest = ((product % divisor) + divisor) % divisor;
      return { rate, part: (product - rest) / divisor, rest };
    });
  let left = amount - parts.reduce((sum, { part }) => sum + part, 0n);
  const inTurn = parts.toSorted((one, other) =>
    one.rest === other.rest ? Number(one.rate) - Number(other.rate) : one.rest > other.rest ? -1 : 1,
  );
  for (const one of inTurn) {
    if (left <= 0n) break;
    one.part += 1n;
    left -= 1n;
  }
  return inTurn.map(({ rate, part }) => [rate, part]);
}

/** A line of the books with what it says of its entry. */
export type BookLine = { readonly line: Row; readonly entry: Row; readonly code: string };

export function linesOf(rows: Rows): readonly BookLine[] {
  const [entries, accounts] = [byId(rows.journal_entries), byId(rows.accounts)];
  return rows.journal_lines.map((line) => ({
    line,
    entry: entries.get(line['entry_id'] ?? '') as Row,
    code: accounts.get(line['account_id'] ?? '')?.['code'] ?? '',
  }));
}

/** `code currency` → the sum of lines of a period, debit positive; of all, or of entries of which `isOf` holds. */
export function movementOf(
  rows: Rows,
  { from = '0001-01-01', to, isOf = () => true }: { from?: string; to: string; isOf?: (operation: string) => boolean },
): Amounts {
  const entries = byId(rows.journal_entries);
  const amounts: Amounts = new Map();
  for (const { line, entry, code } of linesOf(rows)) {
    const first = entries.get(entry['reverses'] ?? '') ?? entry;
    if (!among(entry['entry_date'], from, to) || !isOf(first['operation'] ?? '')) continue;
    add(amounts, `${code} ${line['currency']}`, minor(line, 'amount_minor'));
  }
  return amounts;
}

/** `code currency` → what the documents say as of a day, debit positive. */
export function subledgersOf(rows: Rows, asOf: string): Amounts {
  const amounts: Amounts = new Map();
  const start = '0001-01-01';
  const [invoices, payments] = [byId(rows.invoices), byId(rows.payments)];
  const due = (
    invoiceId: string | null | undefined,
    amount: bigint,
    begun: string | null | undefined,
    ended: string | null | undefined,
  ) => add(amounts, `1100 ${invoices.get(invoiceId ?? '')?.['currency']}`, amount * times(begun, ended, start, asOf));
  for (const row of rows.invoices.filter(({ number }) => number !== null)) {
    due(row['id'], minor(row, 'total_minor'), row['issue_date'], row['voided_on']);
  }
  for (const row of rows.payments)
    due(row['invoice_id'], -minor(row, 'amount_minor'), row['received_on'], row['voided_on']);
  for (const row of rows.credit_notes)
    due(row['invoice_id'], -minor(row, 'total_minor'), row['credited_on'], row['voided_on']);
  for (const row of rows.refunds) {
    const payment = payments.get(row['payment_id'] ?? '');
    due(payment?.['invoice_id'], minor(row, 'amount_minor'), row['refunded_on'], row['voided_on']);
  }
  for (const row of rows.write_offs)
    due(row['invoice_id'], -minor(row, 'amount_minor'), row['written_off_on'], row['recovered_on']);
  for (const row of rows.inventory_movements) {
    if (among(row['moved_on'], start, asOf)) add(amounts, `1200 ${row['currency']}`, minor(row, 'value_delta_minor'));
  }
  for (const [name, [, tax = 0n, , credited = 0n, writtenOff = 0n]] of Object.entries(salesTaxOf(rows, start, asOf))) {
    add(amounts, `2100 ${name.split(' ')[1]}`, credited + writtenOff - tax);
  }
  for (const run of rows.pay_runs.filter((one) => one['journal_entry_id'] !== null)) {
    const counts = times(run['pay_date'], run['voided_on'], start, asOf);
    for (const slip of rows.payslips.filter((one) => one['pay_run_id'] === run['id'])) {
      const sum = (...columns: string[]) => columns.reduce((total, column) => total + minor(slip, column), 0n);
      add(amounts, `2200 ${run['currency']}`, -counts * sum('tax_minor', 'employer_tax_minor'));
      add(amounts, `2210 ${run['currency']}`, -counts * sum('pre_tax_deductions_minor', 'post_tax_deductions_minor'));
      add(amounts, `2220 ${run['currency']}`, -counts * minor(slip, 'net_minor'));
    }
  }
  return amounts;
}

/** The lines of an account, and its bank transactions, up to a day that no match explains which lies before its end as a whole. */
export function openAtBank(rows: Rows, code: string, asOf: string) {
  const days = new Map(linesOf(rows).map(({ line, entry }) => [line['id'], entry['entry_date']]));
  const lines = linesOf(rows).flatMap((one) => (one.code === code ? [one.line] : []));
  const accountId = rows.accounts.find((account) => account['code'] === code)?.['id'];
  const transactions = rows.bank_transactions.filter((one) => one['account_id'] === accountId);
  const dated = (row: Row) => days.get(row['id'] ?? null) ?? row['booked_on'] ?? '';
  const explained = new Set<string | null | undefined>();
  const active = rows.bank_matches.filter((match) => match['undone_by'] === null);
  for (const match of active) {
    const group = active.filter(
      (one) => one['matched_by'] === match['matched_by'] && one['bank_transaction_id'] === match['bank_transaction_id'],
    );
    const members = [
      ...lines.filter((line) => group.some((one) => one['journal_line_id'] === line['id'])),
      ...transactions.filter((one) => one['id'] === match['bank_transaction_id']),
    ];
    if (members.every((one) => dated(one) <= asOf)) for (const one of members) explained.add(one['id']);
  }
  const until = (all: readonly Row[]) => all.filter((one) => dated(one) <= asOf);
  const open = (all: readonly Row[]) => until(all).filter((one) => !explained.has(one['id']));
  return {
    lines: until(lines),
    transactions: until(transactions),
    outstanding: open(lines),
    inTransit: open(transactions),
  };
}

export function sumByCurrency(rows: readonly Row[]): Amounts {
  const amounts: Amounts = new Map();
  for (const row of rows) add(amounts, row['currency'] ?? '', minor(row, 'amount_minor'));
  return amounts;
}

/** In the order of posting within a day, oldest first. */
export function inOrder(one: Row, other: Row, day: string): number {
  for (const column of [day, 'created_at', 'id']) {
    const [a, b] = [one[column] ?? '', other[column] ?? ''];
    if (a !== b) return a < b ? -1 : 1;
  }
  return 0;
}
