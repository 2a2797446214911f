/** 146679 → `1,466.79`. */
export function printed(minor: number): string {
  const digits = String(Math.abs(minor)).padStart(3, '0');
  const whole = digits.slice(0, -2).replaceAll(/\B(?=(\d{3})+$)/g, ',');
  return `${minor < 0 ? '-' : ''}${whole}.${digits.slice(-2)}`;
}

/** Of the two columns of an account, the other one stays empty. */
const side = (minor: number) => (minor > 0 ? printed(minor) : '');

export type Line = { readonly accountCode: string; readonly currency: string; readonly amount: number };

export const ENTRY = ['Account', 'Debit', 'Credit'];
export const ENTRY_OF_CURRENCIES = ['Account', 'Currency', 'Debit', 'Credit'];

/** The lines of an entry as a table, by account: the API has them in an order of its own. */
export function printedEntry(lines: readonly Line[], { withCurrency }: { readonly withCurrency: boolean }): string[][] {
  return lines
    .map(({ accountCode, currency, amount }) => [
      ...[accountCode, ...(withCurrency ? [currency] : [])],
      ...[side(amount), side(-amount)],
    ])
    .toSorted((one, other) => (one.join() < other.join() ? -1 : 1));
}

type Row = Readonly<Record<string, string | number>>;
type Report = { readonly items: readonly Row[]; readonly totals?: readonly Row[] };

/** How a report is printed, by the head of its table. */
export const STATEMENTS: readonly (readonly [head: readonly string[], print: (report: Report) => string[][]])[] = [
  [
    ENTRY,
    ({ items, totals = [] }) => [
      ...items.map((row) => [...texts(row, ['accountCode']), ...amounts(row, SIDES, side)]),
      ...totals.map((row) => ['Total', ...amounts(row, SIDES, side)]),
    ],
  ],
  [
    ['Account', 'Name', 'Currency', 'Debit', 'Credit'],
    ({ items, totals = [] }) => [
      ...items.map((row) => [...texts(row, ACCOUNT), ...amounts(row, SIDES, side)]),
      ...totals.map((row) => ['Total', '', ...texts(row, ['currency']), ...amounts(row, SIDES, side)]),
    ],
  ],
  [
    ['Account', 'Name', 'Currency', 'Amount'],
    ({ items, totals = [] }) => [
      ...items.map((row) => [...texts(row, ACCOUNT), ...amounts(row, ['amount'])]),
      ...totals.flatMap(({ currency, ...sums }) =>
        Object.entries(sums).map(([name, sum]) => ['Total', name, String(currency), printed(Number(sum))]),
      ),
    ],
  ],
  [
    ['Rate', 'Currency', 'Base', 'Tax', 'Credited base', 'Credited tax', 'Written-off tax'],
    ({ items }) =>
      items.map((row) => [
        ...texts(row, ['rate', 'currency']),
        ...amounts(row, ['base', 'tax', 'creditedBase', 'creditedTax', 'writtenOffTax']),
      ]),
  ],
  [
    ['Account', 'Currency', 'Ledger', 'Sub-ledger', 'Difference', 'Other postings'],
    ({ items }) =>
      items.map((row) => [
        ...texts(row, ['accountCode', 'currency']),
        ...amounts(row, ['ledger', 'subledger', 'difference', 'otherPostings']),
      ]),
  ],
];

const ACCOUNT = ['accountCode', 'name', 'currency'];
const SIDES = ['debit', 'credit'];

function texts(row: Row, members: readonly string[]): string[] {
  return members.map((member) => String(row[member]));
}

function amounts(row: Row, members: readonly string[], print = printed): string[] {
  return members.map((member) => print(Number(row[member])));
}
