/**
 * The rules of style that a machine can see, for `test/static/tidy.test.ts`. Each has a violation planted beside it, which it
 * must catch, and a near miss that it must let pass; its `fix` is what the failing test tells.
 */

export type SourceFile = { readonly path: string; readonly text: string };

export type Rule = {
  /** Names the test. */
  readonly promise: string;
  readonly fix: string;
  readonly appliesTo: (path: string) => boolean;
  /** The numbers of the lines that break the rule. */
  readonly check: (text: string) => number[];
  readonly planted: SourceFile;
  readonly fine: SourceFile;
};

export function complaints(rule: Rule, files: readonly SourceFile[]): string[] {
  return files
    .filter((file) => rule.appliesTo(file.path))
    .flatMap((file) => rule.check(file.text).map((line) => `${file.path}:${line}: ${rule.fix}`));
}

const MAX_LINES_PER_FILE = 400;

const PRODUCT = /^(workflows|activities|worker|api|migrations|deploy)\/.*\.ts$/;
const SERVICES = /^(workflows|activities|worker|api|migrations)\/.*\.ts$/;
const TYPESCRIPT = /\.ts$/;
const TRANSACTIONS = /^activities\/(operations|ledger)\/.*\.ts$/;

/** This file and its test quote what they forbid. */
const QUOTES_VIOLATIONS = /^test\/(support\/tidy-rules|tidy\.test)\.ts$/;

export const RULES: readonly Rule[] = [
  {
    promise: 'services log through their logger',
    fix: 'a stray console call: log through the logger, which masks secrets and writes JSON',
    appliesTo: within(SERVICES),
    check: code(/\bconsole\s*\./),
    planted: { path: 'api/app.ts', text: "console.log('here');" },
    fine: { path: 'deploy/local/main.ts', text: "console.log('ready');" },
  },
  {
    promise: 'the environment is read in config files only',
    fix: "process.env outside of a config.ts: add the key to the process's configuration, where all bad keys are told at once",
    appliesTo: (path) => PRODUCT.test(path) && !/[/-]config\.ts$/.test(path),
    check: code(/\bprocess\s*\.\s*env\b|\benv\b[^;]*\}\s*=\s*process\b/),
    planted: { path: 'worker/main.ts', text: "const port = process.env['PORT'];" },
    fine: { path: 'worker/config.ts', text: "const port = process.env['PORT'];" },
  },
  {
    promise: 'workflows know no clock and no randomness',
    fix: 'a clock or a random number in a workflow: take it from the arguments, so that a replay sees the same',
    appliesTo: within(/^workflows\//),
    check: code(/\bDate\b|\bperformance\s*\.|\bMath\s*\.\s*random\b|\brandom(UUID|Bytes)\b|\buuid4\b|\bcrypto\s*\./),
    planted: { path: 'workflows/write.ts', text: 'const id = uuid4();' },
    fine: { path: 'workflows/write.ts', text: '// The Date header is not replayed.\nconst updated = 1;' },
  },
  {
    promise: 'workflows keep nothing between runs',
    fix: 'state outside a function of a workflow: all runs of a process share its modules (worker/bundle.ts)',
    appliesTo: within(/^workflows\//),
    check: code(/^(export\s+)?(let|var)\b|^(export\s+)?const\b.*=\s*(new\s|\[\]|\{\})/),
    planted: { path: 'workflows/write.ts', text: 'const seen = new Map<string, string>();' },
    fine: { path: 'workflows/write.ts', text: 'function f() {\n  let seen = new Map();\n}\nconst LIMIT_MS = 5;' },
  },
  {
    promise: 'workflows know neither pg nor zod',
    fix: 'pg or zod in a workflow: an activity reads the database, and the API validates before the start',
    appliesTo: within(/^workflows\//),
    check: code(/\bfrom\s+['"](pg|zod)\b|\bimport\s*\(?\s*['"](pg|zod)\b/),
    planted: { path: 'workflows/messages.ts', text: "import type { PoolClient } from 'pg';" },
    fine: { path: 'activities/database.ts', text: "import type { PoolClient } from 'pg';" },
  },
  {
    promise: 'a transaction depends on no clock of ours and on no random number',
    fix: "a run again must do the same: use the database's now(), and IDs derived from the write ID",
    appliesTo: within(TRANSACTIONS),
    check: code(/\bDate\s*\.\s*now\b|\bnew\s+Date\s*\(\s*\)|\bMath\s*\.\s*random\b|\brandom(UUID|Bytes)\b/),
    planted: { path: 'activities/operations/create-payment.ts', text: 'const today = new Date();' },
    fine: { path: 'activities/operations/create-payment.ts', text: 'const day = new Date(row.paid_on);' },
  },
  {
    promise: 'a transaction never reaches for a pool',
    fix: 'use the tx that write() was given: a second connection deadlocks when all are taken, and sees another snapshot',
    appliesTo: within(TRANSACTIONS),
    check: code(/^\s*import\s+(?!type\b).*\bfrom\s+['"]pg['"]|\bpool\s*\.\s*(query|connect)\b/i),
    planted: { path: 'activities/operations/create-payment.ts', text: "await pool.query('SELECT 1');" },
    fine: { path: 'activities/ledger/entries.ts', text: "import type { PoolClient } from 'pg';" },
  },
  {
    promise: 'money is never a float',
    fix: 'amounts are bigint minor units: use the functions of activities/money.ts',
    appliesTo: within(/^activities\//),
    check: code(/\bparseFloat\b|\.toFixed\s*\(/),
    planted: { path: 'activities/money.ts', text: 'const amount = parseFloat(text);' },
    fine: { path: 'api/writes/routes.ts', text: 'const seconds = elapsed.toFixed(1);' },
  },
  {
    promise: 'no test is skipped or focused',
    fix: 'a skipped, focused or unwritten test: mend it, write it or delete it (where a tool may be missing, use skipWithout, which says why)',
    appliesTo: within(/^test\//),
    check: code(
      /\b(test|it|describe)\s*(\.\s*\w+\s*)*\.\s*(skip|skipIf|runIf|only|todo|fails)\b|\bx(it|test|describe)\s*\(/,
    ),
    planted: { path: 'test/system/once.test.ts', text: "test.concurrent.only('a', () => {});" },
    fine: { path: 'test/system/once.test.ts', text: "test('a', (context) => skipWithout('promtool', context));" },
  },
  {
    promise: 'there is no enum',
    fix: 'use a union of strings: it is erased, and switched over exhaustively',
    appliesTo: within(TYPESCRIPT),
    check: code(/^\s*(export\s+)?(declare\s+)?(const\s+)?enum\s+\w/),
    planted: { path: 'api/http/problems.ts', text: 'export const enum Code { A }' },
    fine: { path: 'api/http/problems.ts', text: "const schema = { enum: ['a'] };" },
  },
  {
    promise: 'the only classes are errors',
    fix: 'an object or a function does: state that needs a class hides from its callers',
    appliesTo: within(TYPESCRIPT),
    check: code(/^\s*(export\s+)?(default\s+)?(abstract\s+)?class\s+\w+(?!.*\bextends\s+\w*(Error|Failure)\b)/),
    planted: { path: 'api/submit/submit.ts', text: 'export class Submitter {' },
    fine: { path: 'activities/write/rejection.ts', text: 'export class Rejection extends Error {' },
  },
  {
    promise: 'there is no barrel file',
    fix: 'a file that only re-exports: import from the file that has the thing',
    // The bundler takes one module and runs what it exports.
    appliesTo: (path) => within(TYPESCRIPT)(path) && path !== 'workflows/all.ts',
    check: (text) => (isBarrel(text) ? [1] : []),
    planted: { path: 'api/index.ts', text: "export * from './app.ts';\nexport { submit } from './submit.ts';\n" },
    fine: { path: 'api/app.ts', text: "export { submit } from './submit.ts';\nexport const app = 1;\n" },
  },
  {
    promise: 'nothing is left for later',
    fix: 'a mark of unfinished work: finish it, or file an issue and take the mark away',
    appliesTo: within(/\.(ts|sql|ya?ml|json|sh|md)$/),
    check: lines(/\b(TODO|FIXME|HACK)\b/),
    planted: { path: 'migrations/0001_companies.sql', text: '-- TODO: an index' },
    fine: { path: 'docs/decisions.md', text: 'What is left to do for an operator.' },
  },
  {
    promise: 'one word for a company',
    fix: 'say companyId (company_id in SQL): one word for one thing',
    appliesTo: within(/\.(ts|sql)$/),
    check: lines(/\b(tenant|org|organi[sz]ation)_?[iI]d\b/),
    planted: { path: 'api/http/auth.ts', text: 'const tenantId = claims.company_id;' },
    fine: { path: 'api/http/auth.ts', text: 'const companyId = claims.company_id; // the tenant' },
  },
  {
    promise: `no file is longer than ${MAX_LINES_PER_FILE} lines`,
    fix: 'too long to be read in one go: part it by what it is about',
    appliesTo: (path) => /\.(ts|sql)$/.test(path) && path !== 'migrations/schema.sql',
    check: (text) => (text.split('\n').length > MAX_LINES_PER_FILE + 1 ? [MAX_LINES_PER_FILE + 1] : []),
    planted: { path: 'api/app.ts', text: '\n'.repeat(MAX_LINES_PER_FILE + 1) },
    fine: { path: 'api/app.ts', text: '\n'.repeat(MAX_LINES_PER_FILE) },
  },
  {
    promise: 'a Markdown page has one title',
    fix: 'a page has exactly one `#` title, on its first line: make the others `##`',
    appliesTo: within(/\.md$/),
    check: checkTitle,
    planted: { path: 'docs/operating.md', text: '# Operating\n\n# Restoring\n' },
    fine: { path: 'docs/operating.md', text: '# Operating\n\n```sh\n# a comment\n```\n\n## Restoring\n' },
  },
];

function within(paths: RegExp): (path: string) => boolean {
  return (path) => paths.test(path) && !QUOTES_VIOLATIONS.test(path);
}

/** Lines that match, comments and all. */
function lines(pattern: RegExp): (text: string) => number[] {
  return (text) => text.split('\n').flatMap((line, index) => (pattern.test(line) ? [index + 1] : []));
}

/** Lines whose code matches: a comment may name what code may not do. */
function code(pattern: RegExp): (text: string) => number[] {
  return (text) => lines(pattern)(withoutComments(text));
}

/** Keeps the count of lines. `//` counts only after white space, so that the URLs in strings survive. */
function withoutComments(text: string): string {
  return text
    .replace(/(^|\s)\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ''))
    .replace(/(^|\s)\/\/.*$/gm, '$1');
}

function isBarrel(text: string): boolean {
  const reExports = /export\s+(type\s+)?(\*(\s+as\s+\w+)?|\{[^}]*\})\s+from\s+['"][^'"]+['"]\s*;?/g;
  const body = withoutComments(text);
  return body.trim() !== '' && body.replace(reExports, '').trim() === '';
}

/** The lines of superfluous titles; line 1 when the title is not there. */
function checkTitle(text: string): number[] {
  const prose = text.replace(/^(`{3,}|~{3,})[\s\S]*?^\1/gm, (block) => block.replace(/[^\n]/g, ''));
  const titles = lines(/^# /)(prose);
  if (titles[0] !== 1) return [1];
  return titles.slice(1);
}
