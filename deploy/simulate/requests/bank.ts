import { rowId } from '../../../activities/identity.ts';
import { MAX_AMOUNT_MINOR } from '../../../activities/money.ts';
import { type BankTransaction, codesOf, isClosed, isFarAhead, statementDay, sumOf } from './books.ts';
import { setFree } from './ledger.ts';
import { changed, type OperationModel, over, refused, refusedAnyway, workingOn } from './operation-model.ts';
import { post } from './postings.ts';

type Content = BankTransaction['content'];

const importBankTransactions: OperationModel = {
  weight: 3,
  prerequisite: ({ bankLines }) =>
    [...bankLines.values()].some(({ matched }) => matched === undefined) ? undefined : 'createJournalEntry',
  request(books, random) {
    const { nat, pick, chance, unusual } = random;
    const accountCode = unusual(0.05) ? '4000' : pick(['1000', '1000', ...codesOf(books, ({ isBank }) => isBank)]);
    const isOfAccount = (one: { readonly account: string }) => one.account === accountCode;
    const content = (amount: number, currency: string): Content => {
      const bankReference = `STMT-${books.next()}`;
      return { bankReference, date: statementDay(books, random), amount, currency, description: 'A transfer' };
    };
    const open = [...books.bankLines.values()].filter((line) => isOfAccount(line) && line.matched === undefined);
    const booked = open.slice(-1 - nat(6)).map((line) => content(Number(line.amount), line.currency));
    const others = Array.from({ length: booked.length === 0 || chance(0.5) ? 1 + nat(3) : 0 }, () =>
      content(-1 - nat(5_000), 'USD'),
    );
    const transactions = [...booked, ...others];
    const known = [...books.bankTransactions.values()].filter(isOfAccount);
    if (known.length > 0 && chance(0.3)) {
      const again = pick(known).content;
      // Its place counts: the IDs of the others follow from theirs.
      transactions.splice(nat(2), 0, unusual(0.1) ? { ...again, amount: again.amount - 1 || 1 } : again);
    }
    return { body: { accountCode, transactions } };
  },
  answer({ accounts, bankTransactions }, { body: { accountCode: account, transactions } }, { id }) {
    if (accounts.get(account)?.isBank !== true) return refusedAnyway(422, 'account_not_usable');
    const known = [...bankTransactions.values()].filter((one) => one.account === account);
    const fresh = new Map<string, BankTransaction>();
    for (const [position, content] of (transactions as Content[]).entries()) {
      const same = known.find((one) => one.content.bankReference === content.bankReference);
      if (same && !isEqual(same.content, content)) return refusedAnyway(409, 'bank_reference_conflict');
      const transaction = { account, content, isReconciled: false, hasDifference: false };
      if (same === undefined) fresh.set(rowId(id, 'bank_transactions', position), transaction);
    }
    const names = [...fresh].flatMap(([transactionId, { content }]) => [transactionId, content.bankReference]);
    return changed(
      () => {
        for (const [transactionId, transaction] of fresh) bankTransactions.set(transactionId, transaction);
      },
      ...names,
    );
  },
};

const reconcileLedger = workingOn(({ bankTransactions }) => bankTransactions, {
  weight: 6,
  fits: ({ isReconciled }) => !isReconciled,
  madeBy: 'importBankTransactions',
  notFound: [404, 'bank_transaction_not_found'],
  body(transaction, _, { bankLines, entries, settings, limits }, { pick, chance, unusual }) {
    const fitting = [...bankLines].filter(
      ([, { account, currency, matched }]) =>
        account === transaction?.account && currency === transaction.content.currency && matched === undefined,
    );
    const amount = BigInt(transaction?.content.amount ?? 0);
    const same = fitting.filter(([, line]) => line.amount === amount);
    const among = same.length > 0 && chance(0.9) ? same : chance(0.3) ? fitting : [];
    const [lineId, line] = among.length > 0 ? pick(among) : [];
    // Of any entry, a line of another account or one that is matched.
    const otherId = unusual(0.05) && entries.size > 0 ? pick(pick([...entries.values()]).lineIds) : undefined;
    const journalLineId = otherId ?? lineId;
    const difference = amount - (line?.amount ?? 0n);
    const isSmall = limits.tolerances.every((tolerance) => isTolerated(difference, tolerance));
    const isRefused = !isTolerated(difference, settings.reconcileTolerance);
    const givesReason = isSmall ? chance(0.2) : !(isRefused && unusual(0.2));
    const takesDifference = journalLineId === undefined || (line?.amount !== amount) !== unusual(0.05);
    return {
      matches: journalLineId ? [{ journalLineId }] : [],
      ...(takesDifference && { differenceAccountCode: unusual(0.05) ? '2000' : pick(['6900', '6900', '4000']) }),
      ...(givesReason && { reason: 'The bank kept a charge' }),
    };
  },
  answer(transaction, { target, body }, books, write) {
    if (transaction.isReconciled) return refused(409, 'already_reconciled');
    const account: string | undefined = body.differenceAccountCode;
    const type = account && books.accounts.get(account)?.type;
    if (account !== undefined && type !== 'income' && type !== 'expense') return refused(422, 'account_not_usable');
    const { amount, currency, date } = transaction.content;
    const matches: { journalLineId: string }[] = body.matches;
    const lines = matches
      .flatMap(({ journalLineId }) => books.bankLines.get(journalLineId) ?? [])
      .filter((line) => line.account === transaction.account && line.currency === currency)
      .filter((line) => line.matched === undefined);
    if (lines.length < matches.length) return refused(422, 'journal_line_not_matchable');
    const difference = BigInt(amount) - sumOf(lines, (line) => line.amount);
    const isPostable = account !== undefined && difference <= MAX_AMOUNT_MINOR && difference >= -MAX_AMOUNT_MINOR;
    if (difference !== 0n && !isPostable) return refused(422, 'amounts_do_not_match');
    const needsReason = !isTolerated(difference, books.settings.reconcileTolerance);
    if (needsReason && body.reason === undefined) return refused(422, 'reason_required');
    if (difference !== 0n && isClosed(books, date)) return refused(409, 'period_closed');
    if (difference !== 0n && isFarAhead(date)) return refused(422, 'date_too_late');
    return over({ amount: BigInt(amount), currency }).changed(() => {
      for (const line of lines) line.matched = transaction;
      transaction.isReconciled = true;
      if (difference === 0n) return;
      transaction.hasDifference = true;
      const posted = [[transaction.account, difference] as const, [account ?? '', -difference] as const];
      post(books, { date, currency, lines: posted, difference: transaction }, write);
      const own = books.bankLines.get(rowId(write.id, 'journal_lines', 0));
      if (own) own.matched = transaction;
    }, target);
  },
});

const unreconcileBankTransaction = workingOn(({ bankTransactions }) => bankTransactions, {
  weight: 2,
  fits: ({ isReconciled, hasDifference }) => isReconciled && !hasDifference,
  madeBy: 'reconcileLedger',
  notFound: [404, 'bank_transaction_not_found'],
  body: () => ({ reason: 'Matched with the wrong line' }),
  answer(transaction, { target }, books) {
    if (!transaction.isReconciled) return refused(409, 'bank_transaction_not_reconciled');
    if (transaction.hasDifference) return refused(409, 'difference_was_posted');
    return changed(() => setFree(books, transaction), target);
  },
});

export const BANK = { importBankTransactions, reconcileLedger, unreconcileBankTransaction };

function isTolerated(difference: bigint, tolerance: number | null): boolean {
  return tolerance === null || (difference < 0n ? -difference : difference) <= BigInt(tolerance);
}

function isEqual(one: Content, other: Content): boolean {
  return one.date === other.date && one.amount === other.amount && one.currency === other.currency;
}
