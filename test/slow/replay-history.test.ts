import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { inForm } from '../support/form.ts';
import { HISTORIES_FOLDER } from '../support/histories.ts';

/**
 * Runs that are open when a release goes out are taken up by its workflow code: it must do what the code before it did.
 * Each saved history is of a released version; `npm run histories:record` adds those of a new one.
 */
const HISTORIES = readdirSync(HISTORIES_FOLDER).filter((file) => file.endsWith('.json'));
const WRITES = HISTORIES.filter((file) => file.startsWith('write-'));

/** Every way that a run of each workflow can go. */
const WAYS: Readonly<Record<string, readonly string[]>> = {
  write: [
    ...[
      'approved',
      'cancelled-key',
      'cancelled-while-it-waits',
      'durable-timer',
      'failed-run',
      'mismatch',
      'not-approved',
    ],
    ...['rejection', 'retries', 'success'],
  ],
  writeGroup: ['chunk', 'success', 'ungrouped', 'ungrouped-has-run'],
  webhooks: ['delivered', 'retried'],
  announceHeads: ['delivered', 'retried'],
  stampHeads: ['given-up', 'stamped'],
  sendInvoiceReminders: ['existing-write', 'none-due', 'recorded'],
  auditMaintenance: ['archived', 'none-due', 'not-archived'],
  closeMonth: ['closed', 'refused', 'was-closed'],
  scheduledAudit: ['recorded', 'refused'],
  batch: ['cancelled', 'completed', 'gone', 'paused', 'waited'],
};

const projectFolder = fileURLToPath(new URL('../../', import.meta.url));

/** Why a bundle cannot replay them, by the names of those histories. One worker replays all of them, one after the other. */
async function failures(bundle: { code: string }, files: readonly string[]): Promise<Map<string, Error>> {
  const histories = files.map((workflowId) => {
    const history: unknown = JSON.parse(readFileSync(join(HISTORIES_FOLDER, workflowId), 'utf8'));
    return { workflowId, history };
  });
  const failed = new Map<string, Error>();
  let replayed = 0;
  for await (const { workflowId, error } of Worker.runReplayHistories({ workflowBundle: bundle }, histories)) {
    replayed += 1;
    if (error) failed.set(workflowId, error);
  }
  expect(replayed).toBe(files.length);
  return failed;
}

/** The histories of which a bundle does something else. */
async function violations(bundle: { code: string }, files: readonly string[]): Promise<string[]> {
  const failed = await failures(bundle, files);
  for (const error of failed.values()) if (error.name !== 'DeterminismViolationError') throw error;
  return files.filter((file) => failed.has(file));
}

/** Each change is a bundle of its own, which takes seconds: the short form has one that concerns every workflow. */
const inLongForm = (promise: string) => inForm({ short: [], long: [promise] });

const ONE_OF_EACH = Object.keys(WAYS).map((type) => HISTORIES.find((file) => file.startsWith(`${type}-v1-`)) ?? '');

describe('saved runs go on under today’s workflow', () => {
  let failed: ReadonlyMap<string, Error>;
  beforeAll(async () => {
    failed = await failures({ code: readFileSync(inject('bundlePath'), 'utf8') }, HISTORIES);
  });

  test.each(HISTORIES)('%s', (file) => {
    expect(failed.get(file)).toBeUndefined();
  });

  test('each way that a run of any workflow can go is among them', () => {
    const types = readFileSync(join(projectFolder, 'workflows/all.ts'), 'utf8').matchAll(/^export \{ (\w+) \}/gm);
    expect(Object.keys(WAYS).toSorted()).toEqual([...types].map(([, type]) => type ?? '').toSorted());
    const saved = HISTORIES.map((file) => /^(\w+)-v\d+-([a-z-]+)\.json$/.exec(file));
    for (const [type, ways] of Object.entries(WAYS)) {
      const ofType = new Set(saved.filter((parts) => parts?.[1] === type).map((parts) => parts?.[2] ?? ''));
      expect([type, ...[...ofType].toSorted()]).toEqual([type, ...ways]);
    }
  });

  test('and each file shows the way that it is named after', () => {
    const events = (file: string) => readFileSync(join(HISTORIES_FOLDER, `${file}.json`), 'utf8');
    for (const file of ['write-v1-durable-timer', 'webhooks-v1-retried']) {
      expect(events(file)).toContain('EVENT_TYPE_TIMER_FIRED');
    }
    expect(events('write-v1-failed-run')).toContain('EVENT_TYPE_WORKFLOW_EXECUTION_FAILED');
    for (const file of ['write-v1-rejection', 'write-v1-cancelled-key', 'write-v1-mismatch', 'closeMonth-v1-refused']) {
      expect(events(file)).toContain('EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES');
    }
    for (const file of ['writeGroup-v1-ungrouped', 'sendInvoiceReminders-v1-recorded', 'closeMonth-v1-closed']) {
      expect(events(file)).toContain('EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED');
    }
    for (const file of ['writeGroup-v1-ungrouped-has-run', 'sendInvoiceReminders-v1-existing-write']) {
      expect(events(file)).toContain('EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED');
    }
  });

  test.each(HISTORIES)('%s tells nothing of the machine that recorded it', (file) => {
    const text = readFileSync(join(HISTORIES_FOLDER, file), 'utf8');
    for (const [, identity] of text.matchAll(/"identity": "([^"]*)"/g)) expect(identity).toBe('recorded');
    expect(text).not.toMatch(/"stackTrace": "[^"]/);
    expect(text).not.toMatch(/"name": "[^"]*@/); // a sticky queue is named after its worker
  });
});

describe('a workflow that was changed is found out', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'accubooks-workflow-'));
    // The bundler resolves imports from where the file lies.
    symlinkSync(join(projectFolder, 'node_modules'), join(folder, 'node_modules'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  type Change = readonly [file: string, from: string, to: string];

  /** Bundles a copy of the workflows in which `from` reads `to`. */
  async function changed(name: string, ...changes: readonly Change[]): Promise<{ code: string }> {
    const copy = join(folder, name);
    mkdirSync(copy);
    cpSync(join(projectFolder, 'workflows'), copy, { recursive: true });
    for (const [path, from, to] of changes) {
      const file = join(copy, path);
      const text = readFileSync(file, 'utf8');
      expect(text.split(from), `${from} stands once in workflows/${path}`).toHaveLength(2);
      writeFileSync(
        file,
        text.replace(from, () => to),
      );
    }
    return bundleWorkflowCode({ workflowsPath: join(copy, 'all.ts'), logger: new DefaultLogger('ERROR') });
  }

  const WRITE = 'write.ts';
  const CALL = 'const first = await activities.runOperation(args, facts);';

  for (const promise of inLongForm('when nothing was changed but words, it is not'))
    test(promise, async () => {
      const bundle = await changed('same', [WRITE, CALL, `${CALL} // as before`]);
      expect(await violations(bundle, ONE_OF_EACH)).toEqual([]);
    });

  for (const promise of inLongForm('by the attempt that it makes before or after the old one'))
    test(promise, async () => {
      const bundle = await changed('twice', [WRITE, CALL, `await activities.runOperation(args, facts);\n  ${CALL}`]);
      expect(await violations(bundle, WRITES)).toEqual(WRITES.filter((file) => !file.includes('failed-run')));
    });

  test('by a timer that was not there', async () => {
    const wait = 'await new Promise((resolve) => setTimeout(resolve, 1_000));';
    const waiting = (path: string, line: string): Change => [path, line, `${wait}\n  ${line}`];
    const bundle = await changed(
      'timer',
      waiting(WRITE, CALL),
      waiting('write-group.ts', 'const { left, bugs = [], approvals = [] } = await attemptOnce(items, stamp, chunk);'),
      waiting('announce-heads.ts', 'if (await callSealed(call)) return;'),
      waiting('stamp-heads.ts', 'return stamp();'),
      waiting('scheduled-audit.ts', 'return auditBooks(order);'),
      waiting('webhooks.ts', 'const { waitMs } = await deliverWebhooks(batch);'),
      waiting('send-invoice-reminders.ts', 'const due = await findDueReminders(trigger, asOf);'),
      waiting('audit-maintenance.ts', 'const archived: ArchivedMonthFacts[] = [];'),
      waiting('batch.ts', 'const seen = changes;'),
      waiting('close-month.ts', 'const { userId, payload } = await readTrigger(trigger);'),
    );
    expect(await violations(bundle, HISTORIES)).toEqual(HISTORIES);
  });

  for (const promise of inLongForm('by an attribute that it sets no longer, or sets where it did not'))
    test(promise, async () => {
      const set = "if (result.outcome !== 'succeeded' || first.outcome === 'pending_approval') {";
      const never = await changed('never', [WRITE, set, 'if (args.key === args.operation) {']);
      const withAttribute = WRITES.filter((file) => /rejection|cancelled-key|mismatch|-v2-/.test(file));
      expect(await violations(never, WRITES)).toEqual(withAttribute);
      const always = await changed('always', [WRITE, set, 'if (args.key !== args.operation) {']);
      expect(await violations(always, WRITES)).toEqual(
        WRITES.filter((file) => /success|retries|durable-timer/.test(file)),
      );
    });

  for (const promise of inLongForm('by the writes that it has made, by whichever workflow'))
    test(promise, async () => {
      // Another ID is another write: what the old run has made under its own would be made once more.
      const bundle = await changed('ids', [
        'write-start.ts',
        'workflowId: write.workflowId,',
        "workflowId: 'another',",
      ]);
      const withChild = HISTORIES.filter((file) =>
        /writeGroup-.*ungrouped|-recorded|-existing-write|-closed/.test(file),
      );
      const others = HISTORIES.filter((file) => !WRITES.includes(file));
      expect(await violations(bundle, others)).toEqual(withChild.filter((file) => !file.includes('was-closed')));
    });
});
