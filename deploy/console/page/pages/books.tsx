import type { ComponentChildren } from 'preact';
import { useLocation } from 'preact-iso/router';
import type {
  AgedReceivables,
  BalanceSheet,
  ProfitAndLoss,
  TrialBalance,
} from '../../../client/src/generated/types.ts';
import { byCurrency, type Minor, sumOf } from '../money.ts';
import { Answered } from '../parts/answered.tsx';
import { fieldText } from '../parts/field-text.ts';
import { MoneyCell } from '../parts/money.tsx';
import { Scrollable } from '../parts/scrollable.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { useCustomerNames } from '../parts/use-names.ts';

const REPORTS = [
  { path: '/console/books', name: 'Trial balance' },
  { path: '/console/books/receivables', name: 'Aged receivables' },
  { path: '/console/books/profit-and-loss', name: 'Profit and loss' },
  { path: '/console/books/balance-sheet', name: 'Balance sheet' },
] as const;

/** The frame of a report: which report, and of which days. The days are in the address, so that a report can be linked to. */
function Report({
  name,
  days,
  children,
}: {
  readonly name: (typeof REPORTS)[number]['name'];
  readonly days: readonly {
    readonly name: string;
    readonly label: string;
    readonly shown: string | null | undefined;
  }[];
  readonly children: ComponentChildren;
}) {
  useDocumentTitle(name);
  const { path, route } = useLocation();
  const show = (event: SubmitEvent) => {
    event.preventDefault();
    const chosen = days.map((day) => [day.name, fieldText(event, day.name)]).filter(([, value]) => value !== '');
    const query = new URLSearchParams(chosen).toString();
    route(query === '' ? path : `${path}?${query}`);
  };
  return (
    <>
      <nav aria-label="Reports" class="tabs">
        <ul class="list">
          {REPORTS.map((report) => (
            <li key={report.path}>
              <a href={report.path} aria-current={report.name === name ? 'page' : undefined}>
                {report.name}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <h1>{name}</h1>
      <form class="days" onSubmit={show}>
        {days.map((day) => (
          <label key={`${day.name} ${day.shown ?? ''}`}>
            {day.label}
            <input type="date" name={day.name} defaultValue={day.shown ?? ''} />
          </label>
        ))}
        <button type="submit">Show</button>
      </form>
      {children}
    </>
  );
}

/** The path of a report with the days that the address asks for. */
function useReport<T>(path: string, names: readonly string[]) {
  const { query } = useLocation();
  const asked = new URLSearchParams(names.flatMap((name) => (query[name] ? [[name, query[name]]] : [])));
  return useAnswer<T>(asked.size === 0 ? path : `${path}?${asked}`);
}

export function TrialBalancePage() {
  const answer = useReport<TrialBalance>('/api/ledger/trial-balance', ['asOf']);
  return (
    <Report name="Trial balance" days={[{ name: 'asOf', label: 'At the end of', shown: answer.data?.asOf }]}>
      <Answered answer={answer}>
        {({ asOf, items, totals }) => (
          <>
            <Nothing isSo={items.length === 0}>No entry is dated up to {asOf}.</Nothing>
            {byCurrency(items).map(([currency, accounts]) => {
              const total = totals.find((one) => one.currency === currency);
              return (
                <Scrollable key={currency} label={`Amounts in ${currency}`}>
                  <table>
                    <caption>{currency}</caption>
                    <thead>
                      <tr>
                        <th scope="col">Account</th>
                        <th scope="col" class="money">
                          Debit
                        </th>
                        <th scope="col" class="money">
                          Credit
                        </th>
                      </tr>
                    </thead>
                    <tbody>
                      {accounts.map(({ accountCode, name, debit, credit }) => (
                        <tr key={accountCode}>
                          <AccountHead code={accountCode} name={name} />
                          <MoneyCell amount={debit} currency={currency} isBlankAtZero />
                          <MoneyCell amount={credit} currency={currency} isBlankAtZero />
                        </tr>
                      ))}
                    </tbody>
                    <tfoot>
                      <tr>
                        <th scope="row">Total</th>
                        <MoneyCell amount={total?.debit} currency={currency} />
                        <MoneyCell amount={total?.credit} currency={currency} />
                      </tr>
                    </tfoot>
                  </table>
                </Scrollable>
              );
            })}
          </>
        )}
      </Answered>
    </Report>
  );
}

const AGES = [
  ['notDue', 'Not due'],
  ['days1to30', '1–30 days'],
  ['days31to60', '31–60 days'],
  ['days61to90', '61–90 days'],
  ['over90', 'Over 90 days'],
] as const;

export function ReceivablesPage() {
  const answer = useReport<AgedReceivables>('/api/reports/aged-receivables', ['asOf']);
  const names = useCustomerNames(answer.data?.items.map(({ customerId }) => customerId) ?? []);
  return (
    <Report name="Aged receivables" days={[{ name: 'asOf', label: 'At the end of', shown: answer.data?.asOf }]}>
      <Answered answer={answer}>
        {({ asOf, items }) => (
          <>
            <Nothing isSo={items.length === 0}>No customer owes anything at the end of {asOf}.</Nothing>
            {byCurrency(items).map(([currency, customers]) => (
              <Scrollable key={currency} label={`Amounts in ${currency}`}>
                <table>
                  <caption>{currency}, by how long it has been due</caption>
                  <thead>
                    <tr>
                      <th scope="col">Customer</th>
                      <th scope="col" class="money">
                        Total
                      </th>
                      {AGES.map(([age, title]) => (
                        <th key={age} scope="col" class="money">
                          {title}
                        </th>
                      ))}
                    </tr>
                  </thead>
                  <tbody>
                    {customers.map((customer) => (
                      <tr key={customer.customerId}>
                        <th scope="row">{names.get(customer.customerId) ?? <code>{customer.customerId}</code>}</th>
                        <MoneyCell amount={sumOf(AGES.map(([age]) => customer[age]))} currency={currency} />
                        {AGES.map(([age]) => (
                          <MoneyCell key={age} amount={customer[age]} currency={currency} isBlankAtZero />
                        ))}
                      </tr>
                    ))}
                  </tbody>
                </table>
              </Scrollable>
            ))}
          </>
        )}
      </Answered>
    </Report>
  );
}

export function ProfitAndLossPage() {
  const answer = useReport<ProfitAndLoss>('/api/reports/profit-and-loss', ['from', 'to']);
  const days = [
    { name: 'from', label: 'From (empty: the first entry)', shown: answer.data?.from },
    { name: 'to', label: 'To', shown: answer.data?.to },
  ];
  return (
    <Report name="Profit and loss" days={days}>
      <Answered answer={answer}>
        {({ from, to, items, totals }) => (
          <>
            <Nothing isSo={items.length === 0}>
              There is neither income nor expense {from === null ? '' : `from ${from} `}up to {to}.
            </Nothing>
            {totals.map(({ currency, income, expense, result }) => (
              <Statement
                key={currency}
                currency={currency}
                parts={[
                  { title: 'Income', items: items.filter(isOf('income', currency)), total: income },
                  { title: 'Expenses', items: items.filter(isOf('expense', currency)), total: expense },
                ]}
                result={{ title: 'Result', amount: result }}
              />
            ))}
          </>
        )}
      </Answered>
    </Report>
  );
}

export function BalanceSheetPage() {
  const answer = useReport<BalanceSheet>('/api/reports/balance-sheet', ['asOf']);
  return (
    <Report name="Balance sheet" days={[{ name: 'asOf', label: 'At the end of', shown: answer.data?.asOf }]}>
      <Answered answer={answer}>
        {({ asOf, items, totals }) => (
          <>
            <Nothing isSo={totals.length === 0}>No entry is dated up to {asOf}.</Nothing>
            {totals.map(({ currency, assets, liabilities, equity, result }) => (
              <Statement
                key={currency}
                currency={currency}
                parts={[
                  { title: 'Assets', items: items.filter(isOf('asset', currency)), total: assets },
                  { title: 'Liabilities', items: items.filter(isOf('liability', currency)), total: liabilities },
                  { title: 'Equity', items: items.filter(isOf('equity', currency)), total: equity },
                ]}
                result={{ title: 'Result of the years that are not closed', amount: result }}
              />
            ))}
          </>
        )}
      </Answered>
    </Report>
  );
}

type Item = { readonly accountCode: string; readonly name: string; readonly amount: Minor };

function isOf(type: string, currency: string) {
  return (item: { readonly type: string; readonly currency: string }) =>
    item.type === type && item.currency === currency;
}

/** A statement in one currency: each part with its accounts and its total, and the result. Sums are the API's. */
function Statement({
  currency,
  parts,
  result,
}: {
  readonly currency: string;
  readonly parts: readonly { readonly title: string; readonly items: readonly Item[]; readonly total: Minor }[];
  readonly result: { readonly title: string; readonly amount: Minor };
}) {
  return (
    <Scrollable label={`Amounts in ${currency}`}>
      <table>
        <caption>{currency}</caption>
        {parts.map(({ title, items, total }) => (
          <tbody key={title}>
            <tr class="part">
              <th scope="rowgroup" colSpan={2}>
                {title}
              </th>
            </tr>
            {items.map(({ accountCode, name, amount }) => (
              <tr key={accountCode}>
                <AccountHead code={accountCode} name={name} />
                <MoneyCell amount={amount} currency={currency} />
              </tr>
            ))}
            <tr class="total">
              <th scope="row">{title}, total</th>
              <MoneyCell amount={total} currency={currency} />
            </tr>
          </tbody>
        ))}
        <tfoot>
          <tr>
            <th scope="row">{result.title}</th>
            <MoneyCell amount={result.amount} currency={currency} />
          </tr>
        </tfoot>
      </table>
    </Scrollable>
  );
}

function AccountHead({ code, name }: { readonly code: string; readonly name: string }) {
  return (
    <th scope="row">
      <a href={`/console/books/accounts/${encodeURIComponent(code)}`}>
        {code} {name}
      </a>
    </th>
  );
}

function Nothing({ isSo, children }: { readonly isSo: boolean; readonly children: ComponentChildren }) {
  return isSo ? <p>{children}</p> : null;
}
