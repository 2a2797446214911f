import type { WriteContext } from '../operation.ts';

/** The rule of the constraint `invoices_due_on_or_after_issue`, which stays as the backstop. Throws `due_before_issue`. */
export function requireDueOnOrAfterIssue(
  { dueDate, issueDate }: { readonly dueDate: string; readonly issueDate: string },
  context: WriteContext<'due_before_issue'>,
): void {
  // Dates of the form YYYY-MM-DD compare correctly as text.
  if (dueDate < issueDate) throw context.reject('due_before_issue', `${DUE_BEFORE_ISSUE.title}.`);
}

/** The declaration of that rejection, shared by the operations that date an invoice. */
export const DUE_BEFORE_ISSUE = {
  status: 422,
  title: 'The due date is before the issue date',
  nextAction: 'fix_request',
} as const;
