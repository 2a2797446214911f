import { rowId } from '../../../activities/identity.ts';
import { type BankLine, CURRENCIES, LONG_CLOSED, type MoveMaker, NOWHERE } from '../books.ts';

/** Accounts, entries by hand, and what the bank says. */
const OFFSETS = ['2000', '3000', '5000', '6900', '2220', '2200'];

const createAccount: MoveMaker = ({ accounts, next }, random, odd) => {
  if (odd(0.1)) {
    const body = { code: '1000', name: 'Another bank', type: 'asset' };
    return { body, after: [], refused: 'account_code_taken' };
  }
  const isBank = random.chance(0.3);
  const type = isBank ? 'asset' : random.pick(['income', 'income', 'expense', 'liability']);
  const code = `X${next()}`;
  return {
    body: { code, name: `Account ${code}`, type, ...(isBank && { isBank }) },
    after: [],
    made: (step) => accounts.push({ code, type, isBank, step }),
  };
};

const createJournalEntry: MoveMaker = ({ entries, bankLines, settings }, random, odd) => {
  const currency = random.pick(CURRENCIES);
  const amounts = Array.from({ length: random.int(1, 4) }, () => random.pick([-1, 1]) * random.int(1, 50_000));
  const sum = amounts.reduce((total, amount) => total + amount, 0);
  // What is left goes to the bank, or everything sums up by itself.
  const lines = [
    ...(sum === 0 ? [] : [{ accountCode: '1000', amount: -sum }]),
    ...amounts.map((amount) => ({ accountCode: random.pick(OFFSETS), amount })),
  ];
  if (lines.length < 2) return undefined;
  const date = random.date('2026-01-05', '2026-02-20');
  const body = { date, description: 'By hand', currency, lines };
  const offTo = (accountCode: string) => ({ ...body, lines: lines.with(0, { ...lines[0], accountCode } as never) });
  if (odd(0.03)) return { body: offTo('1100'), after: [], refused: 'control_account' };
  if (odd(0.02)) return { body: offTo('no-such'), after: [], refused: 'account_not_usable' };
  if (odd(0.03)) return { body: { ...body, date: LONG_CLOSED }, after: [settings.step], refused: 'period_closed' };
  return {
    body,
    after: [],
    made(step, id) {
      const bank = lines.flatMap(({ accountCode, amount }, position): BankLine[] =>
        accountCode === '1000'
          ? [{ id: rowId(id, 'journal_lines', position), step, account: '1000', currency, amount, matched: false }]
          : [],
      );
      bankLines.push(...bank);
      entries.push({ id, step, reversed: false, bankLines: bank });
    },
  };
};

const reverseJournalEntry: MoveMaker = ({ entries }, random, odd) => {
  const body = { reason: 'Posted twice', date: random.date('2026-03-01', '2026-03-31') };
  if (odd(0.05)) return { params: { entryId: NOWHERE }, body, after: [], refused: 'journal_entry_not_found' };
  const standing = entries.filter(
    ({ reversed, bankLines: lines }) => !reversed && lines.every((line) => !line.matched),
  );
  if (standing.length === 0) return undefined;
  const entry = random.pick(standing);
  const params = { entryId: entry.id };
  if (odd(0.05)) return { params, body: { ...body, date: '2026-01-01' }, after: [entry.step] };
  return {
    params,
    body,
    after: [entry.step],
    made(step) {
      Object.assign(entry, { step, reversed: true });
      for (const line of entry.bankLines) line.matched = true;
    },
  };
};

const importBankTransactions: MoveMaker = ({ bankLines, bankTransactions, next }, random, odd) => {
  const known = bankTransactions.find(({ account }) => account === '1000');
  if (known && odd(0.05)) {
    const transactions = [{ ...known.content, amount: known.content.amount + 1 || 1 }];
    return { body: { transactions }, after: [known.step], refused: 'bank_reference_conflict' };
  }
  if (odd(0.03)) {
    const transactions = [
      { bankReference: 'none', date: '2026-02-15', amount: 1, currency: 'USD', description: 'None' },
    ];
    return { body: { accountCode: '4000', transactions }, after: [], refused: 'account_not_usable' };
  }
  const told = bankLines.filter((line) => line.account === '1000' && !line.matched).slice(-random.int(1, 6));
  const others = Array.from({ length: odd(0.7) ? random.int(1, 3) : 0 }, () => ({
    amount: -random.int(1, 5_000),
    currency: 'USD',
  }));
  const fresh = [...told, ...others].map(({ amount, currency }) => ({
    bankReference: `STMT-${next()}`,
    date: '2026-02-25',
    amount,
    currency,
    description: 'A transfer',
  }));
  const transactions = [...fresh, ...(known && random.chance(0.2) ? [known.content] : [])];
  if (transactions.length === 0) return undefined;
  return {
    body: { transactions },
    after: [...told.map(({ step }) => step), ...(known ? [known.step] : [])],
    made(step, id) {
      for (const [position, content] of fresh.entries()) {
        const bank = { id: rowId(id, 'bank_transactions', position), step, content, account: '1000' };
        bankTransactions.push({ ...bank, state: 'unreconciled', lines: [] });
      }
    },
  };
};

const reconcileLedger: MoveMaker = ({ bankTransactions, bankLines, entries }, random, odd) => {
  const open = bankTransactions.filter(({ state }) => state === 'unreconciled');
  if (odd(0.03)) {
    const body = { matches: [], differenceAccountCode: '6900' };
    return { params: { bankTransactionId: NOWHERE }, body, after: [], refused: 'bank_transaction_not_found' };
  }
  if (open.length === 0) return undefined;
  const transaction = random.pick(open);
  const { amount, currency } = transaction.content;
  const params = { bankTransactionId: transaction.id };
  const candidates = bankLines.filter((line) => line.account === '1000' && line.currency === currency && !line.matched);
  const same = candidates.find((line) => line.amount === amount);
  if (candidates[0] && candidates[0].amount !== amount && odd(0.08)) {
    const body = { matches: [{ journalLineId: candidates[0].id }] };
    return { params, body, after: [transaction.step, candidates[0].step] };
  }
  const near = same ?? (random.chance(0.2) ? candidates[0] : undefined);
  const differs = near?.amount !== amount;
  return {
    params,
    body: {
      matches: near ? [{ journalLineId: near.id }] : [],
      ...(differs && { differenceAccountCode: '6900' }),
    },
    after: [transaction.step, ...(near ? [near.step] : [])],
    made(step, id) {
      const lines = near ? [near] : [];
      Object.assign(transaction, { step, state: differs ? 'with a difference' : 'matched', lines });
      if (near) near.matched = true;
      if (differs) entries.push({ id: rowId(id, 'journal_entries', 0), step, reversed: false, bankLines: [] });
    },
  };
};

const unreconcileBankTransaction: MoveMaker = ({ bankTransactions }, random, odd) => {
  const body = { reason: 'Matched with the wrong line' };
  if (odd(0.05)) {
    return { params: { bankTransactionId: NOWHERE }, body, after: [], refused: 'bank_transaction_not_found' };
  }
  const differing = bankTransactions.find(({ state }) => state === 'with a difference');
  if (differing && odd(0.1)) return { params: { bankTransactionId: differing.id }, body, after: [differing.step] };
  const matched = bankTransactions.filter(({ state }) => state === 'matched');
  if (matched.length === 0) return undefined;
  const transaction = random.pick(matched);
  return {
    params: { bankTransactionId: transaction.id },
    body,
    after: [transaction.step],
    made(step) {
      for (const line of transaction.lines) line.matched = false;
      Object.assign(transaction, { step, state: 'unreconciled', lines: [] });
    },
  };
};

export const LEDGER = {
  createAccount,
  createJournalEntry,
  reverseJournalEntry,
  importBankTransactions,
  reconcileLedger,
  unreconcileBankTransaction,
};
