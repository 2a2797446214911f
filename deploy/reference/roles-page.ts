import type { Operation } from '../../activities/operation.ts';
import type { RegisteredWorkflow } from '../../activities/registered-workflows.ts';
import { ROLES, type Role } from '../../activities/roles.ts';
import type { Read } from '../../api/reads/read.ts';
import { READERS } from '../../api/reads/readers.ts';
import { code, table } from './markdown.ts';

type Declared = {
  readonly operations: readonly Operation[];
  readonly workflows: readonly RegisteredWorkflow[];
  readonly reads: readonly Pick<Read, 'path' | 'group'>[];
};

/** Who may do what, as the operations, the registered workflows and the reads declare it. */
export function rolesPage({ operations, workflows, reads }: Declared): string {
  const writes = operations.map(({ name, roles }) => ({ what: code(name), roles }));
  const starts = workflows.map(({ name, roles }) => ({ what: code(name), roles }));
  const looks = reads.map(({ path, group }) => ({ what: code(path), roles: READERS[group] }));
  return `# Roles

A member of a company has one role or several, and may do what any of them allows. The transaction checks the role again.
If it was revoked, the write gets a stored 403 \`forbidden\`.

## Writes

${matrix('Operation', writes)}

## Workflows that \`triggerWorkflow\` starts

${matrix('Workflow', starts)}

## Reads

\`GET /api/writes\`, \`/api/batches\` and \`/api/approvals\` show each member their own, and those whose resource they may read;
\`/api/approvals\` also what they may decide about.

A manager sees no pay run, no entry of payroll and no event of a pay run. Sums contain them: the trial balance, profit and loss, the
balance sheet, the tie-out of the payroll accounts, and the running balance in the lines of an account. So profit and loss of the
day of a pay run tells a manager what it has cost in all, and where it has paid one person, what that person costs.

${matrix('Read', looks)}
`;
}

/** A column for each role that may do any of it; the others are named below. */
function matrix(head: string, rows: readonly { readonly what: string; readonly roles: readonly Role[] }[]): string {
  const able = ROLES.filter((role) => rows.some(({ roles }) => roles.includes(role)));
  const unable = ROLES.filter((role) => !able.includes(role));
  const cells = rows.map(({ what, roles }) => [what, ...able.map((role) => (roles.includes(role) ? 'yes' : ''))]);
  const none = unable.length === 0 ? '' : `\n\nNone of these: ${unable.join(', ')}.`;
  return `${table([head, ...able], cells)}${none}`;
}
