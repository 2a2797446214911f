import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openBatchCommand, startHolding } from '../support/batch-command.ts';
import { ndjson, startBatchWorker } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { until } from '../support/held-invoice.ts';
import { type System, startSystem } from '../support/system.ts';

/** The first tests need batches that rest: the worker is started by the one that has killed the command. */
let system: System;
let command: ReturnType<typeof openBatchCommand>;
let worker: Awaited<ReturnType<typeof startBatchWorker>> | undefined;
beforeAll(async () => {
  system = await startSystem();
  command = openBatchCommand();
});
afterAll(async () => {
  await worker?.close();
  await system.stop();
  command.close();
});

const OPERATION = ['--operation', 'createPayment'] as const;
const run = (company: Company, args: readonly string[], input?: string) =>
  command.run(company, system.url, args, input);
const runAll = (company: Company, ...runs: (readonly string[])[]) => command.runAll(company, system.url, runs);

async function payments(company: Company, count: number) {
  const invoiceId = await company.invoice({ total: 10_000_000 });
  return Array.from({ length: count }, (_, index) => paymentBody(invoiceId, 100 + index));
}

async function stateOf(company: Company): Promise<string | undefined> {
  const { rows } = await system.owner.query('SELECT state FROM batches WHERE company_id = $1', [company.id]);
  return rows[0]?.state;
}

const paymentsOf = async (company: Company) =>
  (await countEffects(system.owner, { companyId: company.id, table: 'payments' })).rows;

describe('the command of batches, killed or stopped', () => {
  test('in the middle of the upload and while it follows, goes on when it is run again', async () => {
    const company = await system.company();
    const rows = await payments(company, 150);
    // Blank lines are no rows: the second half of the rows is not sent before they are.
    const text = ndjson(rows.slice(0, 75)) + '\n'.repeat(512 * 1024) + ndjson(rows.slice(75));
    const args = ['submit', command.save('killed.jsonl', text), ...OPERATION];

    const holding = await startHolding(system.url, 128 * 1024);
    const first = command.start(company, holding.url, args);
    await until(
      'half of the file to be sent',
      async () => holding.held() > 0 && (await stateOf(company)) !== undefined,
    );
    first.child.kill('SIGKILL');
    await first.ended;
    holding.open();
    expect(await stateOf(company)).toBe('receiving');

    const second = command.start(company, system.url, args);
    await until('the batch to be followed', async () => second.output.stderr.includes('queued ['));
    second.child.kill('SIGKILL');
    await second.ended;
    await holding.close();
    expect([await stateOf(company), await paymentsOf(company)]).toEqual(['queued', 0]);

    // Who stops it by hand is told that this does not stop the batch.
    const third = command.start(company, system.url, args);
    await until('the batch to be followed again', async () => third.output.stderr.includes('queued ['));
    third.child.kill('SIGINT');
    expect(await third.ended).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(
        /The batch goes on\. To see how it stands: npm run --silent batch -- status \w{64} --follow/,
      ),
    });

    worker = await startBatchWorker(system);
    const last = await run(company, args);
    expect([last.code, last.stdout]).toEqual([0, expect.stringMatching(/150 {2}succeeded {2}written by this batch/)]);
    expect(last.stderr).toContain('The batch is there already');
    expect(await countEffects(system.owner, { companyId: company.id, table: 'payments' })).toMatchObject({
      rows: 150,
      replayedAudit: 0,
    });
  });
});

describe('the command of batches', () => {
  beforeAll(async () => {
    worker ??= await startBatchWorker(system);
  });

  test('sends an upload again by itself that broke off on its way', async () => {
    const company = await system.company();
    const rows = await payments(company, 60);
    const text = ndjson(rows.slice(0, 30)) + '\n'.repeat(512 * 1024) + ndjson(rows.slice(30));
    const args = ['submit', command.save('broken-off.jsonl', text), ...OPERATION];
    const holding = await startHolding(system.url, 128 * 1024);
    const sending = command.start(company, holding.url, args);
    await until('half of the file to be sent', async () => holding.held() > 0);
    holding.cut();
    const { code, stdout, stderr } = await sending.ended;
    await holding.close();
    expect([code, stdout]).toEqual([0, expect.stringContaining('60  succeeded')]);
    expect(stderr).toContain('trying again');
    expect(await paymentsOf(company)).toBe(60);
  });

  test('finds a finished batch at once, and under another key makes replays alone', async () => {
    const company = await system.company();
    const args = ['submit', command.save('again.jsonl', ndjson(await payments(company, 40))), ...OPERATION];
    const results = command.path('second.csv');
    const underAnother = [...args, '--batch-key', 'the second', '--results', results, '--json'];
    const [made, again, second] = await runAll(company, args, args, underAnother);
    expect([made?.code, made?.stdout]).toEqual([0, expect.stringContaining('40  succeeded')]);
    expect([again?.code, again?.stdout]).toEqual([0, made?.stdout]);
    expect(again?.stderr).toBe('The batch is there already (completed): the file was not sent again.\n');
    expect(second?.code).toBe(0);
    expect(JSON.parse(second?.stdout ?? '')).toMatchObject({
      exitCode: 0,
      batch: { key: 'the second', state: 'completed', counts: { replayed: 40, succeeded: 0 } },
    });
    const lines = readFileSync(results, 'utf8').split('\r\n');
    expect([lines.length, lines[0], lines[40]]).toEqual([
      42,
      expect.stringMatching(/^row,key,outcome,/),
      expect.stringMatching(/^40,[\da-f-]{36},replayed,201,/),
    ]);
    expect(await paymentsOf(company)).toBe(40);
  });

  test('refuses another file under a key that is taken, and names the row', async () => {
    const company = await system.company();
    const [one, two, three] = (await payments(company, 3)) as [object, object, object];
    const key = [...OPERATION, '--batch-key', 'month-end'];
    const [, other] = await runAll(
      company,
      ['submit', command.save('one.jsonl', ndjson([one, two])), ...key],
      ['submit', command.save('other.jsonl', ndjson([one, three])), ...key, '--json'],
    );
    expect([other?.code, other?.stderr]).toEqual([2, expect.stringContaining('row 2 is the first that differs')]);
    expect(JSON.parse(other?.stdout ?? '')).toMatchObject({ exitCode: 2, problem: { code: 'idempotency_key_reused' } });
    expect(await paymentsOf(company)).toBe(2);
  });

  test('takes CSV with other columns, and makes the writes that replay makes of it', async () => {
    const company = await system.company();
    const [first] = await payments(company, 1);
    const row = (amount: string) => `${first?.invoiceId};${amount};USD;cash;egal`;
    const text = ['Rechnung;Betrag;currency;method;Notiz', row('120'), row('zwölf'), row('130')].join('\r\n');
    const file = command.save('zahlungen.csv', text);
    const mapping = ['--delimiter', ';', '--map', 'Rechnung=invoiceId', '--map', 'Betrag=amount', '--map', 'Notiz=-'];
    const sent = await run(company, ['submit', file, ...OPERATION, ...mapping]);
    expect(sent.code).toBe(1);
    expect(sent.stderr).toMatch(
      /line 3 \(row 2\), key \S+: 422 validation_failed: The row is malformed: column Betrag: not a number: "zwölf"/,
    );
    expect(sent.stdout).toMatch(/ 2 {2}succeeded .*\n +1 {2}refused/);
    // From a pipe it is the same file, and the same batch.
    const piped = await run(company, ['submit', '-', '--format', 'csv', ...OPERATION, ...mapping, '--json'], text);
    expect([piped.code, piped.stderr]).toEqual([1, expect.stringContaining('The batch is there already')]);
    expect(JSON.parse(piped.stdout).batch.errors).toMatchObject([{ row: 2, line: 3 }]);
    const results = (await run(company, ['results', JSON.parse(piped.stdout).batch.key])).stdout;
    const keys = results
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line).key);
    // Sent row by row, each of them is a replay.
    const alone = await company.api.post(
      '/api/payments',
      { invoiceId: first?.invoiceId, amount: 130, currency: 'USD', method: 'cash' },
      { key: keys[2] },
    );
    expect([alone.status, alone.headers.get('idempotent-replayed')]).toEqual([201, 'true']);
    expect(await paymentsOf(company)).toBe(2);
  });

  test('checks a file without writing anything of it', async () => {
    const company = await system.company();
    const [good] = await payments(company, 1);
    const bad = JSON.stringify({ ...good, amount: 0, 'more\u001b[2J\u009b': 1 });
    const file = command.save('checked.jsonl', `\n${bad}\n\n{"amount":\n${JSON.stringify(good)}\n`);
    const check = ['submit', file, ...OPERATION, '--validate-only'];
    const [checked, json] = await runAll(company, check, [...check, '--json']);
    expect([checked?.code, checked?.stdout]).toEqual([1, '3 rows, 2 of them would be refused; nothing was written\n']);
    expect(checked?.stderr).toMatch(/^line 2 \(row 1\), .*; \/amount: .*\nline 4 \(row 2\), .*malformed: not JSON/m);
    // A terminal would obey them.
    expect(checked?.stderr).toMatch(/more/);
    expect(checked?.stderr).not.toMatch(/[^\P{Cc}\n]/u);
    expect(json?.stdout).not.toMatch(/[^\P{Cc}\n]/u);
    expect(JSON.parse(json?.stdout ?? '')).toMatchObject({
      exitCode: 1,
      validation: {
        rows: 3,
        valid: 1,
        errors: [
          { row: 1, line: 2, errors: [{ pointer: '/amount' }, { pointer: '/more\u001b[2J\u009b' }] },
          { row: 2 },
        ],
      },
    });
    expect([await stateOf(company), await paymentsOf(company)]).toEqual([undefined, 0]);
  });

  test('does not wait where it shall not, and looks after the batch by its key', async () => {
    const company = await system.company();
    const file = command.save('looked-after.jsonl', ndjson(await payments(company, 5)));
    const actions = ['pause', 'resume', 'retry-failed', 'cancel'];
    const [accepted, followed, listed, ...others] = await runAll(
      company,
      ['submit', file, ...OPERATION, '--batch-key', 'mine', '--no-wait'],
      ['status', 'mine', '--follow'],
      ['list', '--state', 'completed'],
      ...actions.map((action) => [action, 'mine']),
      ['status', 'nobody’s'],
      ['status', 'nobodys'],
    );
    expect(accepted?.code).toBe(0);
    expect([followed?.code, followed?.stdout]).toEqual([0, expect.stringMatching(/^Batch mine: completed\n/)]);
    expect([listed?.code, listed?.stdout]).toEqual([
      0,
      expect.stringMatching(/^mine +completed +createPayment +5 of 5 /m),
    ]);
    for (const [index, action] of actions.entries()) {
      expect([action, others[index]?.code, others[index]?.stderr]).toEqual([
        action,
        2,
        expect.stringContaining('409 batch_state_conflict'),
      ]);
    }
    expect(others.slice(actions.length).map(({ code }) => code)).toEqual([2, 2]);
  });

  test('tells by its exit code that it is used wrongly, refused, or without an answer', async () => {
    const company = await system.company();
    const file = command.save('codes.jsonl', ndjson(await payments(company, 1)));
    const csv = command.save('codes.csv', 'amount\n1\n');
    const usedWrongly = [
      ...[[], ['submit'], ['submit', file, '--operation', 'createPaymet'], ['submit', file, '--nonsense'], ['sumbit']],
      ...[
        ['submit', command.path('not-there.jsonl'), ...OPERATION],
        ['submit', csv],
        ['submit', csv, ...OPERATION, '--map', 'a=b'],
      ],
      ...[
        ['submit', file, ...OPERATION, '--results', file],
        ['submit', command.save('empty.jsonl', '\n'), ...OPERATION],
      ],
    ];
    const [nothing, ofFolder, help, ...wrong] = await runAll(
      company,
      ['submit', command.path('not-there.jsonl'), ...OPERATION, '--results', file],
      ['submit', command.path('.'), ...OPERATION],
      ['submit', '--help'],
      ...usedWrongly,
    );
    for (const [index, args] of usedWrongly.entries()) expect([args, wrong[index]?.code]).toEqual([args, 2]);
    expect([nothing?.code, nothing?.stderr]).toEqual([2, `There is no file ${command.path('not-there.jsonl')}.\n`]);
    expect(ofFolder).toMatchObject({ code: 2, stderr: expect.stringMatching(/ is a folder\. Give a file\.\n$/) });
    expect([help?.code, help?.stdout]).toEqual([0, expect.stringContaining('Exit codes of submit')]);
    // What the API says of a header, its options aside.
    for (const [text, told] of [
      ['betrag,currency\n1,USD\n', 'Give --map "betrag=<path>", such as'],
      ['amount;currency\n1;USD\n', 'seem to be separated by ";". Give --delimiter ";".'],
    ] as const) {
      const sent = ['submit', command.save('h.csv', text), ...OPERATION, '--json'];
      for (const refused of await runAll(company, sent, [...sent, '--validate-only'])) {
        expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining(told)]);
        expect(JSON.parse(refused.stdout).problem).toMatchObject({ code: 'validation_failed', status: 422 });
      }
    }
    const nobody = await command.run(company, 'http://127.0.0.1:1', [
      'submit',
      file,
      ...OPERATION,
      '--give-up-after',
      '1s',
      '--json',
    ]);
    expect([nobody.code, nobody.stderr]).toEqual([3, expect.stringContaining('Run the same command again.')]);
    expect(JSON.parse(nobody.stdout)).toMatchObject({ exitCode: 3, message: expect.stringContaining('127.0.0.1:1') });
    expect(await paymentsOf(company)).toBe(0);
  });
});
