/** An answer of `finalizeInvoice` as stored, by its text. */
type Finalized = {
  readonly number: string;
  readonly issueDate: string;
  readonly warnings?: readonly { code: string }[];
};

/** Of the invoices of one company: the answers of those that are dated before an invoice with a lower number. */
export function outOfDateOrder(responses: readonly string[]): readonly string[] {
  const invoices = responses.map((response) => ({ response, ...(JSON.parse(response) as Finalized) }));
  // By length first: numbers have six digits or more.
  invoices.sort((one, other) => one.number.length - other.number.length || (one.number < other.number ? -1 : 1));
  let latest = '';
  return invoices.flatMap(({ response, issueDate }) => {
    if (issueDate < latest) return [response];
    latest = issueDate;
    return [];
  });
}

export function warnsOutOfDateOrder(response: string): boolean {
  return (JSON.parse(response) as Finalized).warnings?.some(({ code }) => code === 'number_out_of_date_order') ?? false;
}
