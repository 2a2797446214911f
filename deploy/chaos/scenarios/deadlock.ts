import { writeId } from '../../../activities/identity.ts';
import { createCreditNote } from '../../../activities/operations/create-credit-note.ts';
import { createRefund } from '../../../activities/operations/create-refund.ts';
import { finalizeInvoice } from '../../../activities/operations/finalize-invoice.ts';
import { voidInvoice } from '../../../activities/operations/void-invoice.ts';
import { inParallel } from '../../cli/in-parallel.ts';
import { submitWrite } from '../../client/src/submit-write.ts';
import { prepareInvoices } from '../../load/benchmark/company.ts';
import { pickWeighted, type Random } from '../../simulate/requests/random.ts';
import { type Client, pause, underLoad } from '../load.ts';
import { countersOf } from '../locks.ts';
import { type Books, draft, payment, planned, prepareBooks } from '../mix.ts';
import type { ChaosSent, Planned, Scenario, Stage } from '../scenario.ts';

/** So few that nearly every write meets another one at its row. */
const HOT_INVOICES = 3;
const DRAFTS = 24;
const VOIDABLE = 24;
const CLIENTS_EACH = 12;
const GIVE_UP_AFTER_MS = 120_000;

const WEIGHTS = [
  ['payment', 8],
  ['creditNote', 4],
  ['refund', 3],
  ['finalize', 3],
  ['void', 3],
] as const;

export const deadlock: Scenario = {
  name: 'deadlock',
  promise:
    'Payments, credit notes, refunds, voids and finalizations of the same few invoices, in opposite orders, never fail.',
  needs: [],
  companies: 2,
  async run(stage) {
    const { databaseUrl } = stage.target;
    const books = await prepareBooks(stage, HOT_INVOICES);
    const hot = await inParallel(books.length, books, (of) => prepareHot(stage, of));
    const before = databaseUrl === undefined ? undefined : await countersOf(databaseUrl);
    const ran = await underLoad(
      stage,
      hot.flatMap((of) => clientsOf(stage, of)),
      {
        async trouble() {
          await pause(stage, stage.seconds * 1_000);
          return [];
        },
      },
    );
    const after = databaseUrl === undefined ? undefined : await countersOf(databaseUrl);
    const failed = failedRuns(ran.sent);
    return {
      ...ran,
      facts: {
        'deadlocks in PostgreSQL':
          after && before ? after.deadlocks - before.deadlocks : 'not read: needs --database-url',
      },
      violations: failed === 0 ? [] : [`${failed} answers were failures`],
    };
  },
};

type Hot = Books & { readonly drafts: readonly string[]; readonly voidable: readonly string[] };

async function prepareHot(stage: Stage, books: Books): Promise<Hot> {
  const numbers = Array.from({ length: DRAFTS }, (_, index) => index);
  const drafts = await inParallel(numbers.length, numbers, async (index) => {
    const { write } = draft(books, `${stage.run}:draft:${index}`);
    const { final } = await submitWrite(stage.http, write, { deadlineMs: GIVE_UP_AFTER_MS });
    return (JSON.parse(final?.text ?? '{}') as { id?: string }).id ?? '';
  });
  const voidable = await prepareInvoices(stage.http, books.tenant.token, VOIDABLE, stage.signal);
  return { ...books, drafts, voidable };
}

/** Every other client goes through the invoices backwards. */
function clientsOf(stage: Stage, hot: Hot): Client[] {
  return Array.from({ length: CLIENTS_EACH }, (_, client): Client => {
    const paid: string[] = [];
    return (random, count) => {
      const key = `${stage.run}:${client}:${count}`;
      const step = count % HOT_INVOICES;
      const invoiceId = hot.invoiceIds[client % 2 === 0 ? step : HOT_INVOICES - 1 - step] ?? '';
      const kind = paid.length === 0 ? 'payment' : pickWeighted(random, WEIGHTS);
      // The first of a client comes before there is one to refund.
      if (kind === 'payment') paid.push(writeId(hot.tenant.companyId, 'createPayment', key));
      return [writeOf(kind, { hot, invoiceId, paymentId: random.pick(paid), random, key })];
    };
  });
}

type Choice = { hot: Hot; invoiceId: string; paymentId: string; random: Random; key: string };

function writeOf(kind: string, { hot, invoiceId, paymentId, random, key }: Choice): Planned {
  const { tenant } = hot;
  switch (kind) {
    case 'creditNote': {
      const body = { lines: [{ lineNumber: 1, net: 1 }], reason: 'Chaos' };
      return planned(tenant, createCreditNote, `/api/invoices/${invoiceId}/credit-notes`, key, body);
    }
    case 'refund':
      return planned(tenant, createRefund, createRefund.path, key, { paymentId, amount: 1, reason: 'Chaos' });
    case 'finalize':
      return planned(tenant, finalizeInvoice, `/api/invoices/${random.pick(hot.drafts)}/finalize`, key, {});
    case 'void':
      return planned(tenant, voidInvoice, `/api/invoices/${random.pick(hot.voidable)}/void`, key, { reason: 'Chaos' });
    default:
      // Of several units, so that more than one refund of it fits.
      return payment(tenant, invoiceId, key, 5);
  }
}

/** What a deadlock would become that is not repeated: `write_failed` and other answers with 500. */
function failedRuns(sent: readonly ChaosSent[]): number {
  return sent
    .flatMap(({ submitted }) => Object.entries(submitted.onTheWay))
    .reduce((sum, [label, times]) => (label.startsWith('500') ? sum + times : sum), 0);
}
