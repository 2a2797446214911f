import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keyOfRow } from '../../activities/batches/row-key.ts';
import type { Result } from '../../deploy/replay/results.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { compiled } from '../support/program.ts';
import { type System, startSystem } from '../support/system.ts';

const ROWS = 150;
/** Writes that make an invoice which can be paid: its customer, its draft, its finalization. */
const PREPARED = 3;

let system: System;
let folder: string;
beforeAll(async () => {
  system = await startSystem({ environment: { WRITE_GROUPING: 'on' } });
  folder = mkdtempSync(join(tmpdir(), 'accubooks-replay-test-'));
});
afterAll(async () => {
  await system.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('a file of writes', () => {
  test('that is killed on its way and sent again has each row once, and then is all replays', {
    timeout: 180_000,
  }, async () => {
    const company = await system.company();
    const invoiceId = await company.invoice();
    const lines = Array.from({ length: ROWS }, (_, row) => JSON.stringify(paymentBody(invoiceId, row + 1)));
    const file = save('killed.jsonl', lines.join('\n'));
    const results = `${file}.results.jsonl`;

    const first = start(company, [file, '--operation', 'createPayment', '--concurrency', '4']);
    await until('30 % of the rows', async () => existsSync(results) && resultsIn(results).length >= ROWS * 0.3);
    first.child.kill('SIGKILL');
    await first.ended;
    const before = (await effects(company)).rows;
    expect(before).toBeGreaterThanOrEqual(ROWS * 0.3);
    expect(before).toBeLessThan(ROWS);

    const second = await run(company, [file, '--operation', 'createPayment', '--json']);
    expect(second.code).toBe(0);
    const report = JSON.parse(second.stdout);
    expect(report).toMatchObject({ total: ROWS, rows: ROWS, succeeded: ROWS, notSent: 0 });
    expect(report.replayed).toBeGreaterThanOrEqual(before);
    const once = {
      writes: PREPARED + ROWS,
      rows: ROWS,
      newAudit: PREPARED + ROWS,
      events: PREPARED + ROWS,
      failedAudit: 0,
    };
    expect(await effects(company)).toMatchObject(once);
    const sha256 = createHash('sha256').update(readFileSync(file)).digest('hex');
    const told = resultsIn(results).sort((a, b) => a.row - b.row);
    expect(told.map(({ key }) => key)).toEqual(lines.map((_, index) => keyOfRow(sha256, index + 1)));
    expect(told[41]).toMatchObject({ row: 42, line: 42, status: 201, resource: { amount: 42, invoiceId } });

    const third = await run(company, [file, '--operation', 'createPayment', '--json']);
    expect(JSON.parse(third.stdout)).toMatchObject({ succeeded: ROWS, replayed: ROWS });
    expect(await effects(company)).toMatchObject(once);

    // What a kill has torn is not taken for an outcome.
    writeFileSync(results, readFileSync(results, 'utf8').slice(0, -30));
    const resumed = await run(company, [file, '--operation', 'createPayment', '--json', '--resume']);
    expect(JSON.parse(resumed.stdout)).toMatchObject({ rows: ROWS, skipped: ROWS - 1, succeeded: 1, replayed: 1 });
    expect(new Set(resultsIn(results).map(({ row }) => row)).size).toBe(ROWS);
  });

  test('has rows that are refused, rejected or malformed; the others are written', async () => {
    const company = await system.company();
    const invoiceId = await company.invoice({ total: 1_000 });
    const good = paymentBody(invoiceId, 10);
    const file = save(
      'mixed.jsonl',
      [
        JSON.stringify({ key: 'one', body: good }),
        '{"amount":',
        JSON.stringify({ key: 'two', body: { ...good, amount: 5_000 } }),
        JSON.stringify({ key: 'three', body: { ...good, amount: -1 } }),
        JSON.stringify({ key: 'one', body: { ...good, amount: 11 } }),
        JSON.stringify({ key: 'six', body: good }),
      ].join('\n'),
    );
    const sent = await run(company, [file, '--operation', 'createPayment', '--concurrency', '1']);
    expect(sent.code).toBe(1);
    expect(sent.stderr).toContain('line 2: malformed: not JSON');
    expect(sent.stderr).toContain('line 4: refused: 422 validation_failed');
    expect(resultsIn(`${file}.results.jsonl`)).toMatchObject([
      { row: 1, key: 'one', keyFrom: 'row', outcome: 'succeeded', status: 201 },
      { row: 2, line: 2, outcome: 'malformed' },
      { row: 3, outcome: 'rejected', status: 422, problem: { code: 'payment_exceeds_outstanding' } },
      { row: 4, outcome: 'refused', status: 422, problem: { code: 'validation_failed' } },
      { row: 5, outcome: 'refused', status: 422, problem: { code: 'idempotency_key_reused' } },
      { row: 6, outcome: 'succeeded', status: 201 },
    ]);
    expect(await effects(company)).toMatchObject({ writes: PREPARED + 2, rows: 2, failedAudit: 2 });

    // A rejection is final: a file of such rows alone is done.
    const final = save('final.jsonl', JSON.stringify({ key: 'two', body: { ...good, amount: 5_000 } }));
    expect((await run(company, [final, '--operation', 'createPayment'])).code).toBe(0);
  });

  test('is CSV, of any operation, with the path in a column', async () => {
    const company = await system.company();
    const customerId = await company.customer();
    const columns = 'key,customerId,currency,issueDate,dueDate,lines.0.description,lines.0.quantity,lines.0.unitPrice';
    const rows = Array.from(
      { length: 5 },
      (_, row) => `inv-${row},${customerId},USD,2026-01-15,2026-12-31,"A, ""b""",2,${100 + row}`,
    );
    const invoices = save('invoices.csv', [columns, ...rows].join('\r\n'));
    expect((await run(company, [invoices, '--operation', 'createInvoice'])).code).toBe(0);
    const created = resultsIn(`${invoices}.results.jsonl`).map(
      ({ resource }) => resource as { id: string; total: number },
    );
    expect(new Set(created.map(({ total }) => total))).toEqual(new Set([200, 202, 204, 206, 208]));

    const finalize = save('finalize.csv', ['Invoice', ...created.map(({ id }) => id)].join('\n'));
    const options = ['--operation', 'finalizeInvoice', '--map', 'Invoice=invoiceId'];
    expect((await run(company, [finalize, ...options])).code).toBe(0);
    expect(await countEffects(system.owner, { companyId: company.id, table: 'invoices' })).toMatchObject({
      rows: 5,
      entries: 5,
    });
    // The same from a pipe has the same keys.
    const piped = await run(
      company,
      ['-', '--format', 'csv', ...options, '--json', '--results', join(folder, 'piped')],
      readFileSync(finalize, 'utf8'),
    );
    expect(JSON.parse(piped.stdout)).toMatchObject({ succeeded: 5, replayed: 5 });
  });

  test('has rows of several operations, which need none for the file', async () => {
    const company = await system.company();
    const invoiceId = await company.invoice();
    const payment = { operation: 'createPayment', body: paymentBody(invoiceId, 10) };
    const rows = [payment, { operation: 'createCustomer', params: {}, body: { name: 'Several' } }, { body: {} }];
    const file = save('several.jsonl', rows.map((row) => JSON.stringify(row)).join('\n'));
    const sent = await run(company, [file, '--json']);
    expect([sent.code, JSON.parse(sent.stdout)]).toMatchObject([1, { succeeded: 2, malformed: 1 }]);
    expect(sent.stderr).toContain('line 3: malformed: neither the row nor the file has an operation');
    expect(await effects(company)).toMatchObject({ writes: PREPARED + 2, rows: 1 });
    const again = await run(company, [file, '--json', '--operation', 'createCustomer']);
    expect(JSON.parse(again.stdout)).toMatchObject({ succeeded: 2, replayed: 2, refused: 1 });
    const csv = await run(company, [save('several.csv', 'name\nA\n')]);
    expect([csv.code, csv.stderr]).toEqual([1, expect.stringContaining('CSV needs an operation for the whole file')]);
  });

  test('is not sent where its content has changed, since its rows would be written again', async () => {
    const company = await system.company();
    const invoiceId = await company.invoice();
    const file = save('changed.jsonl', JSON.stringify(paymentBody(invoiceId, 1)));
    expect((await run(company, [file, '--operation', 'createPayment'])).code).toBe(0);
    save(
      'changed.jsonl',
      [paymentBody(invoiceId, 1), paymentBody(invoiceId, 2)].map((row) => JSON.stringify(row)).join('\n'),
    );
    const refused = await run(company, [file, '--operation', 'createPayment']);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('written again')]);
    const own = await run(company, [file, '--operation', 'createPayment', '--results', file]);
    expect([own.code, own.stderr]).toEqual([1, expect.stringContaining('is the input file')]);
    expect(await effects(company)).toMatchObject({ rows: 1 });
  });

  test('is checked without being sent', async () => {
    const company = await system.company();
    const good = paymentBody(await company.invoice());
    const file = save(
      'dry.jsonl',
      [good, { ...good, amount: 0 }, { ...good, 'more\u001b[2J\u009b': 1 }]
        .map((row) => JSON.stringify(row))
        .join('\n'),
    );
    const checked = await run(company, [file, '--operation', 'createPayment', '--dry-run']);
    expect([checked.code, checked.stdout]).toEqual([1, '3 rows, 2 of them malformed; nothing was sent\n']);
    expect(checked.stderr).toMatch(/^line 2: \/amount: .*\nline 3: .*more/m);
    // A terminal would obey them.
    expect(checked.stderr).not.toMatch(/[^\P{Cc}\n]/u);
    expect(await effects(company)).toMatchObject({ writes: PREPARED, rows: 0, failedAudit: 0 });
  });
});

function save(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** Whole lines only: it may be being written. */
function resultsIn(path: string): Result[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

function effects(company: Company) {
  return countEffects(system.owner, { companyId: company.id, table: 'payments' });
}

async function run(company: Company, options: readonly string[], input = '') {
  const { child, ended, output } = start(company, options);
  child.stdin?.end(input);
  const code = await ended;
  return { code, ...output };
}

function start(company: Company, options: readonly string[]) {
  const child: ChildProcess = spawn(
    process.execPath,
    [compiled('deploy/replay/main.ts'), ...options, '--url', system.url, '--token-file', tokenFile(company)],
    { env: { PATH: process.env['PATH'], DATA_DIR: join(folder, 'no-local-system') }, stdio: 'pipe' },
  );
  // A test that fails before its command ends must not leave it to the next run.
  const kill = () => void child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  const output = { stdout: '', stderr: '' };
  child.stdout?.on('data', (data: Buffer) => (output.stdout += data.toString()));
  child.stderr?.on('data', (data: Buffer) => (output.stderr += data.toString()));
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { child, ended, output };
}

function tokenFile(company: Company): string {
  return save(`${company.id}.token`, company.users.owner.token);
}
