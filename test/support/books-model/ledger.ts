import { rowId } from '../../../activities/identity.ts';
import {
  type BankTransaction,
  CHANGED,
  CREATED,
  DATES,
  isClosed,
  type Model,
  type ModelOperation,
  no,
  post,
  postMirror,
} from './model.ts';

const createAccount: ModelOperation = {
  weight: 1,
  request: (_, { pick }) => ({
    body: pick([
      { code: '4100', name: 'Other sales', type: 'income' },
      { code: '1010', name: 'Savings', type: 'asset', isBank: true },
      { code: '6100', name: 'Rent', type: 'expense' },
    ]),
  }),
  expect({ accounts }, { body }) {
    if (accounts.has(body.code)) return no(409, 'account_code_taken');
    accounts.set(body.code, { type: body.type, isBank: body.isBank === true, isControl: false });
    return CREATED;
  },
};

const createJournalEntry: ModelOperation = {
  weight: 4,
  request(_, { nat, pick }) {
    const amount = pick([-1, 1]) * (1 + nat(500));
    const bank = nat(4) === 0 ? '1010' : '1000';
    return {
      body: {
        date: pick(DATES),
        description: 'By hand',
        currency: pick(['USD', 'USD', 'JPY']),
        lines: [
          { accountCode: bank, amount: 3 * amount },
          { accountCode: pick(['3000', '3000', '6900', '6100', '1100']), amount: -amount },
          { accountCode: '2000', amount: -2 * amount },
        ],
      },
    };
  },
  expect(model, { body }, context) {
    const lines: { accountCode: string; amount: number }[] = body.lines;
    for (const { accountCode } of lines) {
      const account = model.accounts.get(accountCode);
      if (account === undefined) return no(422, 'account_not_usable');
      if (account.isControl) return no(422, 'control_account');
    }
    if (isClosed(model, body.date)) return no(409, 'period_closed');
    const posted = lines.map(({ accountCode, amount }) => [accountCode, BigInt(amount)] as const);
    post(model, { id: context.id, date: body.date, currency: body.currency, lines: posted }, context);
    return CREATED;
  },
};

const reverseJournalEntry: ModelOperation = {
  weight: 3,
  first: ({ entries }) =>
    [...entries.values()].some(({ operation }) => operation === 'createJournalEntry')
      ? undefined
      : 'createJournalEntry',
  request({ entries }, { pick, any }) {
    // Those that the model names in its own way cannot be named in a request.
    const named = new Map([...entries].filter(([id]) => !id.startsWith('of ')));
    const entryId = any(named, ({ operation, isReversed }) => operation === 'createJournalEntry' && !isReversed);
    return { params: { entryId }, body: { reason: 'A mistake', date: pick(DATES) } };
  },
  expect(model, { params, body }) {
    const entry = model.entries.get(params?.['entryId'] ?? '');
    if (entry === undefined) return no(404, 'journal_entry_not_found');
    if (!['createJournalEntry', 'reconcileLedger'].includes(entry.operation)) return no(409, 'entry_not_reversible');
    if (entry.isReversed) return no(409, 'entry_already_reversed');
    const lines = entry.lineIds.flatMap((id) => model.lines.get(id) ?? []);
    const { difference } = entry;
    if (lines.some(({ matched }) => matched !== undefined) && !difference?.difference)
      return no(409, 'line_reconciled');
    if (body.date < entry.date) return no(422, 'date_before_original');
    if (isClosed(model, body.date)) return no(409, 'period_closed');
    if (difference) setFree(model, difference);
    entry.isReversed = true;
    for (const line of lines) if (model.accounts.get(line.account)?.isBank) line.matched = 'reversed';
    postMirror(model, entry);
    return CREATED;
  },
};

const importBankTransactions: ModelOperation = {
  weight: 4,
  first: ({ lines }) => (lines.size > 0 ? undefined : 'createJournalEntry'),
  request({ lines }, { nat, pick }) {
    const account = pick(['1000', '1000', '1000', '1010', '4000']);
    const ofBank = [...lines.values()].filter((line) => line.account === account);
    const transactions = Array.from({ length: 1 + nat(3) }, (_, index) => {
      const line = ofBank.length > 0 && nat(4) > 0 ? pick(ofBank) : undefined;
      const amount = Number(line?.amount ?? 7n);
      const content = { amount, currency: line?.currency ?? 'USD', date: pick(DATES), description: 'A transfer' };
      return { bankReference: `${index}-${nat(6)}`, ...content };
    });
    return { body: { accountCode: account, transactions } };
  },
  expect({ accounts, bankTransactions }, { body }, { id }) {
    if (accounts.get(body.accountCode)?.isBank !== true) return no(422, 'account_not_usable');
    const known = [...bankTransactions.values()].filter(({ account }) => account === body.accountCode);
    const fresh = new Map<string, BankTransaction>();
    for (const [position, content] of (body.transactions as BankTransaction['content'][]).entries()) {
      const same = known.find((one) => one.content.bankReference === content.bankReference);
      if (same === undefined) {
        const transaction = { account: body.accountCode, content, reconciled: false, difference: false };
        fresh.set(rowId(id, 'bank_transactions', position), transaction);
      } else if (!isEqual(same.content, content)) return no(409, 'bank_reference_conflict');
    }
    for (const [transactionId, transaction] of fresh) bankTransactions.set(transactionId, transaction);
    return CHANGED;
  },
};

const reconcileLedger: ModelOperation = {
  weight: 5,
  first: ({ bankTransactions }) =>
    [...bankTransactions.values()].some(({ reconciled }) => !reconciled) ? undefined : 'importBankTransactions',
  request({ bankTransactions, lines }, { nat, pick, any }) {
    const bankTransactionId = any(bankTransactions, ({ reconciled }) => !reconciled);
    const transaction = bankTransactions.get(bankTransactionId);
    const fitting = [...lines].filter(
      ([, line]) => line.account === transaction?.account && line.currency === transaction.content.currency,
    );
    const same = fitting.filter(([, line]) => line.amount === BigInt(transaction?.content.amount ?? 0));
    const among = nat(4) === 0 ? [...lines] : nat(3) === 0 ? fitting : same;
    const matches = among.length > 0 && nat(6) > 0 ? [{ journalLineId: pick(among)[0] }] : [];
    const account = nat(3) === 0 || matches.length === 0 ? pick(['6900', '6900', '4000', '2000']) : undefined;
    return {
      params: { bankTransactionId },
      body: { matches, ...(account && { differenceAccountCode: account }) },
    };
  },
  expect(model, { params, body }, context) {
    const transaction = model.bankTransactions.get(params?.['bankTransactionId'] ?? '');
    if (transaction === undefined) return no(404, 'bank_transaction_not_found');
    if (transaction.reconciled) return no(409, 'already_reconciled');
    const account: string | undefined = body.differenceAccountCode;
    const type = account && model.accounts.get(account)?.type;
    if (account !== undefined && type !== 'income' && type !== 'expense') return no(422, 'account_not_usable');
    const { amount, currency, date } = transaction.content;
    const matches: { journalLineId: string }[] = body.matches;
    const lines = matches.map(({ journalLineId }) => model.lines.get(journalLineId));
    const isFitting = (line: (typeof lines)[number]) =>
      line?.account === transaction.account && line.currency === currency && line.matched === undefined;
    if (!lines.every(isFitting)) return no(422, 'journal_line_not_matchable');
    const difference = BigInt(amount) - lines.reduce((sum, line) => sum + (line?.amount ?? 0n), 0n);
    if (difference !== 0n && account === undefined) return no(422, 'amounts_do_not_match');
    if (difference !== 0n && isClosed(model, date)) return no(409, 'period_closed');
    for (const line of lines) if (line) line.matched = transaction;
    transaction.reconciled = true;
    if (difference !== 0n) {
      transaction.difference = true;
      const posted = [[transaction.account, difference] as const, [account ?? '', -difference] as const];
      post(model, { date, currency, lines: posted, difference: transaction }, context);
      const own = model.lines.get(rowId(context.id, 'journal_lines', 0));
      if (own) own.matched = transaction;
    }
    return CHANGED;
  },
};

const unreconcileBankTransaction: ModelOperation = {
  weight: 2,
  first: ({ bankTransactions }) => ([...bankTransactions.values()].some(isMatched) ? undefined : 'reconcileLedger'),
  request: ({ bankTransactions }, { any }) => ({
    params: { bankTransactionId: any(bankTransactions, isMatched) },
    body: { reason: 'The wrong line' },
  }),
  expect(model, { params }) {
    const transaction = model.bankTransactions.get(params?.['bankTransactionId'] ?? '');
    if (transaction === undefined) return no(404, 'bank_transaction_not_found');
    if (!transaction.reconciled) return no(409, 'bank_transaction_not_reconciled');
    if (transaction.difference) return no(409, 'difference_was_posted');
    setFree(model, transaction);
    return CHANGED;
  },
};

export const LEDGER = {
  createAccount,
  createJournalEntry,
  reverseJournalEntry,
  importBankTransactions,
  reconcileLedger,
  unreconcileBankTransaction,
};

function setFree({ lines }: Model, transaction: BankTransaction): void {
  Object.assign(transaction, { reconciled: false, difference: false });
  for (const line of lines.values()) if (line.matched === transaction) line.matched = undefined;
}

function isMatched({ reconciled, difference }: BankTransaction): boolean {
  return reconciled && !difference;
}

function isEqual(one: BankTransaction['content'], other: BankTransaction['content']): boolean {
  return one.date === other.date && one.amount === other.amount && one.currency === other.currency;
}
