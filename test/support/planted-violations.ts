/** Which tool refuses what, by a file of the tree that would break its rule, and a near miss beside it. */

export type Planted = {
  readonly path: string;
  readonly text: string;
  /** The tool's own name of the rule; none for a near miss, which every tool lets pass. */
  readonly rule?: string;
};

const TEST = "import { expect, test } from 'vitest';\n";
const PASSES = "('a promise', () => {\n  expect(1).toBe(1);\n});\n";

/** Each file breaks one rule, of oxlint or Biome. */
export const PLANTED_IN_A_FILE: readonly Planted[] = [
  { path: 'api/app.ts', text: "console.log('here');\n", rule: 'eslint(no-console)' },
  { path: 'deploy/local/main.ts', text: "console.log('ready');\n" },

  { path: 'worker/main.ts', text: "export const port = process.env['PORT'];\n", rule: 'lint/style/noProcessEnv' },
  {
    path: 'worker/imported.ts',
    text: "import { env } from 'node:process';\n\nexport const port = env['PORT'];\n",
    rule: 'lint/style/noProcessEnv',
  },
  { path: 'deploy/taken.ts', text: 'export const { env } = process;\n', rule: 'eslint(no-restricted-properties)' },
  { path: 'worker/config.ts', text: "export const port = process.env['PORT'];\n" },
  { path: 'deploy/cli/local-config.ts', text: 'export const { env } = process;\n' },

  { path: 'workflows/date.ts', text: 'export const now = () => Date.now();\n', rule: 'eslint(no-restricted-globals)' },
  {
    path: 'workflows/global-date.ts',
    text: 'export const now = () => new globalThis.Date();\n',
    rule: 'eslint(no-restricted-globals)',
  },
  {
    path: 'workflows/clock.ts',
    text: 'export const now = () => performance.now();\n',
    rule: 'eslint(no-restricted-globals)',
  },
  {
    path: 'workflows/crypto.ts',
    text: 'export const id = () => crypto.randomUUID();\n',
    rule: 'eslint(no-restricted-globals)',
  },
  {
    path: 'workflows/random.ts',
    text: 'export const share = () => Math.random();\n',
    rule: 'eslint(no-restricted-properties)',
  },
  {
    path: 'workflows/uuid.ts',
    text: "import { uuid4 } from '@temporalio/workflow';\n\nexport const id = () => uuid4();\n",
    rule: 'eslint(no-restricted-imports)',
  },
  { path: 'workflows/fine.ts', text: '// The Date header is not replayed.\nexport const updated = Math.max(1, 2);\n' },

  {
    path: 'workflows/map.ts',
    text: 'const seen = new Map<string, string>();\nexport const size = () => seen.size;\n',
    rule: 'plugin',
  },
  { path: 'workflows/list.ts', text: 'export const seen: string[] = [];\n', rule: 'plugin' },
  { path: 'workflows/count.ts', text: 'let seen = 0;\nexport const count = () => ++seen;\n', rule: 'plugin' },
  {
    path: 'workflows/local.ts',
    text: "export const NAMES = ['a'] as const;\nexport const make = (names: string[] = []) => {\n  const seen = new Set(names);\n  return seen;\n};\n",
  },
  { path: 'worker/limit.ts', text: 'export const untilMs = () => Date.now() + 1_000;\n', rule: 'plugin' },
  { path: 'api/began.ts', text: 'export const began = () => new Date();\n', rule: 'plugin' },
  {
    path: 'api/expires.ts',
    text: '// biome-ignore lint/plugin: a token names points in time.\nexport const nowMs = () => Date.now();\nexport const read = (text: string) => new Date(text);\n',
  },
  { path: 'test/system/days.test.ts', text: `export const now = () => Date.now();\n${TEST}\ntest${PASSES}` },
  { path: 'worker/state.ts', text: 'export const seen = new Map<string, string>();\n' },

  {
    path: 'activities/operations/date.ts',
    text: 'export const today = () => new Date();\n',
    rule: 'eslint(no-restricted-globals)',
  },
  {
    path: 'activities/operations/random.ts',
    text: 'export const share = () => Math.random();\n',
    rule: 'eslint(no-restricted-properties)',
  },
  {
    path: 'activities/operations/uuid.ts',
    text: "import { randomUUID } from 'node:crypto';\n\nexport const id = () => randomUUID();\n",
    rule: 'eslint(no-restricted-imports)',
  },
  {
    path: 'activities/ledger/uuid.ts',
    text: "import crypto from 'node:crypto';\n\nexport const id = () => crypto.randomUUID();\n",
    rule: 'eslint(no-restricted-properties)',
  },
  {
    path: 'activities/ledger/hash.ts',
    text: "import { createHash } from 'node:crypto';\n\nexport const hash = () => createHash('sha256');\n",
  },

  {
    path: 'activities/money.ts',
    text: 'export const amount = (text: string) => parseFloat(text);\n',
    rule: 'eslint(no-restricted-globals)',
  },
  {
    path: 'activities/rate.ts',
    text: 'export const amount = (text: string) => Number.parseFloat(text);\n',
    rule: 'eslint(no-restricted-properties)',
  },
  {
    path: 'activities/operations/shown.ts',
    text: 'export const shown = (amount: number) => amount.toFixed(2);\n',
    rule: 'eslint(no-restricted-properties)',
  },
  { path: 'api/elapsed.ts', text: 'export const seconds = (elapsed: number) => elapsed.toFixed(1);\n' },

  { path: 'test/only.test.ts', text: `${TEST}\ntest.concurrent.only${PASSES}`, rule: 'vitest(no-focused-tests)' },
  { path: 'test/skip.test.ts', text: `${TEST}\ntest.skip${PASSES}`, rule: 'vitest(no-disabled-tests)' },
  { path: 'test/todo.test.ts', text: `${TEST}\ntest${PASSES}\ntest.todo('later');\n`, rule: 'vitest(warn-todo)' },
  { path: 'test/fails.test.ts', text: `${TEST}\ntest.fails${PASSES}`, rule: 'eslint(no-restricted-properties)' },
  {
    path: 'test/skip-if.test.ts',
    text: `${TEST}\ntest.skipIf(process.platform === 'win32')${PASSES}`,
    rule: 'eslint(no-restricted-properties)',
  },
  {
    path: 'test/skip-by-name.test.ts',
    text: `${TEST}\ntest('a', ({ skip }) => {\n  skip(true, 'for a reason');\n  expect(1).toBe(1);\n});\n`,
  },

  { path: 'api/class.ts', text: 'export class Submitter {\n  runs = 1;\n}\n', rule: 'plugin' },
  { path: 'api/derived.ts', text: 'export class Runs extends Map<string, string> {}\n', rule: 'plugin' },
  { path: 'api/error.ts', text: 'export class Rejection extends Error {}\nexport class Bug extends TypeError {}\n' },

  {
    path: 'api/barrel.ts',
    text: "export * from './error.ts';\nexport { seconds } from './elapsed.ts';\n",
    rule: 'lint/performance/noBarrelFile',
  },
  { path: 'workflows/all.ts', text: "export { updated } from './fine.ts';\n" },
  { path: 'deploy/client/src/index.ts', text: "export { seconds } from '../../../api/elapsed.ts';\n" },

  { path: 'api/long.ts', text: `${'// A line.\n'.repeat(400)}export const last = 1;\n`, rule: 'eslint(max-lines)' },
  { path: 'api/full.ts', text: `${'// A line.\n'.repeat(399)}export const last = 1;\n` },
];

/** Each import breaks one rule of dependency-cruiser. */
export const PLANTED_IMPORTS: readonly Planted[] = [
  {
    path: 'deploy/client/src/keys.ts',
    text: "import { OPERATIONS } from '../../../activities/operation-list.ts';\n\nexport const names = OPERATIONS;\n",
    rule: 'the-client-is-a-package-of-its-own',
  },
  {
    path: 'deploy/client/src/random.ts',
    text: "import { randomUUID } from 'node:crypto';\n\nexport const newKey = () => randomUUID();\n",
    rule: 'the-client-runs-in-browsers',
  },
  {
    path: 'deploy/client/src/files.ts',
    text: "import { read } from './node.ts';\n\nexport const file = read;\n",
    rule: 'the-client-is-a-package-of-its-own',
  },
  {
    path: 'deploy/client/src/node.ts',
    text: "import { readFileSync } from 'node:fs';\nimport { PATH } from './http.ts';\n\nexport const read = () => readFileSync(PATH);\n",
  },
  { path: 'deploy/client/src/http.ts', text: "export const PATH = '/';\n" },
  {
    path: 'workflows/rows.ts',
    text: "import type { PoolClient } from 'pg';\n\nexport type Client = PoolClient;\n",
    rule: 'workflows-know-neither-pg-nor-zod',
  },
  {
    path: 'activities/payroll/pool.ts',
    text: "import pg from 'pg';\n\nexport const pool = new pg.Pool();\n",
    rule: 'transactions-have-no-pool',
  },
  {
    path: 'activities/ledger/second.ts',
    text: "import { transaction } from '../database.ts';\n\nexport const second = transaction;\n",
    rule: 'transactions-have-no-pool',
  },
  {
    path: 'activities/database.ts',
    text: "import pg from 'pg';\n\nexport type Tx = { readonly client: pg.PoolClient };\nexport const transaction = () => new pg.Pool();\n",
  },
  {
    path: 'activities/ledger/entries.ts',
    text: "import type { Tx } from '../database.ts';\n\nexport const post = (tx: Tx) => tx.client;\n",
  },
  {
    path: 'api/http/door.ts',
    text: "import { submit } from '../submit/submit.ts';\n\nexport const door = submit;\n",
    rule: 'api-http-knows-only-what-is-to-its-right',
  },
  { path: 'api/submit/submit.ts', text: 'export const submit = 1;\n' },
  {
    path: 'api/writes/routes.ts',
    text: "import { submit } from '../submit/submit.ts';\n\nexport const route = submit;\n",
  },
  {
    path: 'activities/operation-list.ts',
    text: "import { createPayment } from './operations/create-payment.ts';\n\nexport const OPERATIONS = [createPayment];\n",
  },
  { path: 'activities/operations/create-payment.ts', text: 'export const createPayment = 1;\n' },
  {
    path: 'activities/operations/create-refund.ts',
    text: 'export const createRefund = 1;\n',
    rule: 'each-operation-is-in-the-list',
  },
  {
    path: 'worker/config.ts',
    text: "import { codec } from './payloads/codec.ts';\n\nexport const config = codec;\n",
    rule: 'configuration-is-read-without-temporal',
  },
  {
    path: 'worker/payloads/codec.ts',
    text: "import { ApplicationFailure } from '@temporalio/common';\n\nexport const codec = ApplicationFailure;\n",
  },
];
