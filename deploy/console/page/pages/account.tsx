import { useRoute } from 'preact-iso/router';
import type { Account, AccountLine } from '../../../client/src/generated/types.ts';
import { sidesOf } from '../money.ts';
import { Answered } from '../parts/answered.tsx';
import { MoneyCell } from '../parts/money.tsx';
import { More } from '../parts/more.tsx';
import { Problem } from '../parts/problem.tsx';
import { Scrollable } from '../parts/scrollable.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { usePages } from '../parts/use-pages.ts';

/** The lines of an account, newest first, each with its entry and the balance after it. */
export function AccountPage() {
  const code = useRoute().params['code'] ?? '';
  const path = `/api/ledger/accounts/${encodeURIComponent(code)}`;
  const account = useAnswer<Account>(path);
  const { first, items, more, error } = usePages<AccountLine>(`${path}/lines?limit=50`);
  const name = account.data?.name ?? '';
  useDocumentTitle(`Account ${code} ${name}`);
  return (
    <>
      <p>
        <a href="/console/books">Trial balance</a>
      </p>
      <h1>
        {code} {name}
      </h1>
      {account.error === undefined ? null : <Problem error={account.error} onAgain={account.again} />}
      <p>{account.data === undefined ? '\u00a0' : purposeOf(account.data)}</p>
      {account.error === undefined ? (
        <Answered answer={first}>
          {() => (
            <>
              {items.length === 0 ? <p>The account has no line that you may read.</p> : null}
              <Scrollable label="Lines">
                <table class="lines">
                  <thead>
                    <tr>
                      <th scope="col">Date</th>
                      <th scope="col">Entry</th>
                      <th scope="col" class="money">
                        Debit
                      </th>
                      <th scope="col" class="money">
                        Credit
                      </th>
                      <th scope="col" class="money">
                        Balance
                      </th>
                      <th scope="col">Currency</th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((line) => {
                      const { debit, credit } = sidesOf(line.amount);
                      return (
                        <tr key={line.id}>
                          <td class="nowrap">{line.date}</td>
                          <th scope="row">
                            <a href={`/console/books/entries/${line.entryId}`}>
                              {line.description || line.source.operation}
                            </a>
                            {line.memo === null ? null : <small class="memo">{line.memo}</small>}
                          </th>
                          <MoneyCell amount={debit} currency={line.currency} />
                          <MoneyCell amount={credit} currency={line.currency} />
                          <MoneyCell amount={line.balance} currency={line.currency} />
                          <td>{line.currency}</td>
                        </tr>
                      );
                    })}
                  </tbody>
                </table>
              </Scrollable>
              <More more={more} error={error} />
            </>
          )}
        </Answered>
      ) : null}
    </>
  );
}

/** One line, as the blank that stands in its place while it is not known. */
function purposeOf({ type, role }: Account): string {
  return `${TYPES[type]}${role === null ? '' : `, which operations use as ${role.replaceAll('_', ' ')}`}.`;
}

const TYPES: Readonly<Record<Account['type'], string>> = {
  asset: 'An asset',
  liability: 'A liability',
  equity: 'Equity',
  income: 'Income',
  expense: 'An expense',
};
