/** What is wrong, in words: `fetch` says no more than "fetch failed", and has the reason as the cause. */
export function errorText(error: unknown): string {
  // A failed connection to several addresses, whose own message is empty.
  if (error instanceof AggregateError && error.message === '') return error.errors.map(errorText).join('; ');
  if (!(error instanceof Error)) return String(error);
  return error.message === 'fetch failed' && error.cause !== undefined ? errorText(error.cause) : error.message;
}
