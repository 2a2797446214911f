import type { ErrorEntry } from '../../api/openapi/error-catalog.ts';
import { code, table } from './markdown.ts';

/** The same content as `/docs/errors` of a running API, as a page of the repository. */
export function errorsPage(entries: readonly ErrorEntry[]): string {
  return `# Error codes

Every error is \`application/problem+json\` (RFC 9457); a program switches on \`code\`.
[contract.md](../contract.md) describes what all errors have in common and their order. The same page is served at
\`/docs/errors\`.

*Stored* errors are the outcome of their key: every retry returns it, with \`Idempotent-Replayed: true\`.

${entries.map(section).join('\n\n')}
`;
}

function section({ code: name, meaning, next, uses }: ErrorEntry): string {
  const rows = uses.map(({ status, title, where, stored, retryable, nextAction }) => [
    status,
    title,
    where,
    stored ? 'yes' : 'no',
    retryable ? 'yes' : 'no',
    code(nextAction),
  ]);
  return `## ${name}

${meaning}

What to do: ${next}

${table(['Status', 'Title', 'Met by', 'Stored', 'Retryable', 'nextAction'], rows)}`;
}
