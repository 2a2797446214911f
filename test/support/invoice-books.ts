import { writeId } from '../../activities/identity.ts';
import { COMPANY_ID, type OneCompany, openOneCompany } from './two-databases.ts';

/** A customer in each of two currencies, a second income account, and drafts; February is closed. */
export async function openInvoiceBooks(drafts: number): Promise<OneCompany> {
  const books = await openOneCompany();
  const run = (operation: string, key: string, body: Record<string, unknown>) =>
    books.runAlone(books.argumentsOf({ operation, key, body }));
  for (const currency of ['USD', 'EUR']) {
    await run('createCustomer', `customer-${currency}`, { name: 'Customer', currency });
  }
  await run('createAccount', 'account', { code: '4100', name: 'Advice', type: 'income' });
  await books.runTogether(
    Array.from({ length: drafts }, (_, index) =>
      books.argumentsOf({ operation: 'createInvoice', key: `draft-${index}`, body: draftBody(index) }),
    ),
  );
  await run('updateCompanySettings', 'close', { expectedVersion: 1, booksClosedThrough: '2026-02-28' });
  return books;
}

/** Of a customer that {@link openInvoiceBooks} makes. */
export function customerId(currency: string): string {
  return writeId(COMPANY_ID, 'createCustomer', `customer-${currency}`);
}

/** Of a draft that {@link openInvoiceBooks} makes. */
export function invoiceId(draft: number): string {
  return writeId(COMPANY_ID, 'createInvoice', `draft-${draft}`);
}

/** Every fifth is dated in February. */
function draftBody(index: number) {
  const line = {
    description: 'Work',
    quantity: '1.5',
    unitPrice: 100 + index,
    taxRateBasisPoints: 825,
    accountCode: '4000',
  };
  return {
    customerId: customerId('USD'),
    currency: 'USD',
    issueDate: index % 5 === 4 ? '2026-02-10' : '2026-03-10',
    dueDate: '2026-12-31',
    lines: [line, { ...line, accountCode: '4100', taxRateBasisPoints: 0 }, line],
    metadata: { room: '12', floor: '3', a: '1' },
  };
}
