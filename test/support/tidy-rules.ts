/**
 * The rules of style that no linter of ours can hold, since they are also about SQL, YAML and Markdown; the others are in
 * `.oxlintrc.json`, `biome.json`, `.dependency-cruiser.cjs` and `tsconfig.json` (`test/static/tool-rules.test.ts`). Each has
 * a violation planted beside it, which it must catch, and a near miss that it must let pass; its `fix` is what the failing
 * test tells.
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

/** As `max-lines` in `.oxlintrc.json`. */
const MAX_LINES_PER_FILE = 400;

/** This file and its test quote what they forbid. */
const QUOTES_VIOLATIONS = /^test\/(support\/tidy-rules|static\/tidy\.test)\.ts$/;

export const RULES: readonly Rule[] = [
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
    promise: `no migration is longer than ${MAX_LINES_PER_FILE} lines`,
    fix: 'too long to be read in one go: part it by what it is about',
    appliesTo: (path) => /\.sql$/.test(path) && path !== 'migrations/schema.sql',
    check: (text) => (text.split('\n').length > MAX_LINES_PER_FILE + 1 ? [MAX_LINES_PER_FILE + 1] : []),
    planted: { path: 'migrations/0001_companies.sql', text: '\n'.repeat(MAX_LINES_PER_FILE + 1) },
    fine: { path: 'migrations/0001_companies.sql', text: '\n'.repeat(MAX_LINES_PER_FILE) },
  },
  {
    promise: 'every worker is made by createWorker',
    fix: 'use createWorker: with the default options of the SDK, a stall of 5 s ends the process',
    appliesTo: (path) => /^(api|worker)\/.*\.ts$/.test(path) && path !== 'worker/create-worker.ts',
    check: lines(/\bWorker\.create\(/),
    planted: { path: 'worker/event-worker.ts', text: 'const worker = await Worker.create({ connection });' },
    fine: { path: 'worker/event-worker.ts', text: 'const worker = await createWorker({ connection });' },
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

function lines(pattern: RegExp): (text: string) => number[] {
  return (text) => text.split('\n').flatMap((line, index) => (pattern.test(line) ? [index + 1] : []));
}

/** The lines of superfluous titles; line 1 when the title is not there. */
function checkTitle(text: string): number[] {
  const prose = text.replace(/^(`{3,}|~{3,})[\s\S]*?^\1/gm, (block) => block.replace(/[^\n]/g, ''));
  const titles = lines(/^# /)(prose);
  if (titles[0] !== 1) return [1];
  return titles.slice(1);
}
