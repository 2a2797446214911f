import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { HISTORIES_FOLDER } from './support/histories.ts';

/**
 * Runs that are open when a release goes out are taken up by its workflow code: it must do what the code before it did.
 * Each saved history is of a released version; `npm run histories:record` adds those of a new one.
 */
const HISTORIES = readdirSync(HISTORIES_FOLDER).filter((file) => file.endsWith('.json'));

/** Those of the write, which are one for each way that it can go. */
const WRITES = HISTORIES.filter((file) => file.startsWith('write-'));
const WEBHOOKS = 'webhooks-v1-waiting.json';

const projectFolder = fileURLToPath(new URL('../', import.meta.url));

async function replay(bundle: { code: string }, file: string): Promise<void> {
  const history: unknown = JSON.parse(readFileSync(join(HISTORIES_FOLDER, file), 'utf8'));
  await Worker.runReplayHistory({ workflowBundle: bundle }, history, file);
}

/** The histories that a bundle cannot replay. */
async function violations(bundle: { code: string }, files: readonly string[] = WRITES): Promise<string[]> {
  const broken: string[] = [];
  for (const file of files) {
    try {
      await replay(bundle, file);
    } catch (error) {
      if ((error as Error).name !== 'DeterminismViolationError') throw error;
      broken.push(file);
    }
  }
  return broken;
}

describe('saved runs go on under today’s workflow', () => {
  test.each(HISTORIES)('%s', async (file) => {
    const bundle = { code: readFileSync(inject('bundlePath'), 'utf8') };
    await expect(replay(bundle, file)).resolves.toBeUndefined();
  });

  test('each way that a run can go is among them', () => {
    const ways = new Set(WRITES.map((file) => /^write-v\d+-([a-z-]+)\.json$/.exec(file)?.[1]));
    expect(ways).toEqual(
      new Set(['cancelled-key', 'durable-timer', 'failed-run', 'mismatch', 'rejection', 'retries', 'success']),
    );
    const events = (way: string) => readFileSync(join(HISTORIES_FOLDER, `write-v1-${way}.json`), 'utf8');
    expect(events('durable-timer')).toContain('EVENT_TYPE_TIMER_FIRED');
    expect(readFileSync(join(HISTORIES_FOLDER, WEBHOOKS), 'utf8')).toContain('EVENT_TYPE_TIMER_FIRED');
    expect(events('failed-run')).toContain('EVENT_TYPE_WORKFLOW_EXECUTION_FAILED');
    for (const way of ['rejection', 'cancelled-key', 'mismatch']) {
      expect(events(way)).toContain('EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES');
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

  /** Bundles a copy of the workflows in which `from` reads `to`. */
  async function changed(name: string, from: string, to: string, source = 'write.ts'): Promise<{ code: string }> {
    const copy = join(folder, name);
    mkdirSync(copy);
    cpSync(join(projectFolder, 'workflows'), copy, { recursive: true });
    const file = join(copy, source);
    const text = readFileSync(file, 'utf8');
    expect(text.split(from), `${from} stands once in workflows/${source}`).toHaveLength(2);
    writeFileSync(
      file,
      text.replace(from, () => to),
    );
    return bundleWorkflowCode({ workflowsPath: file, logger: new DefaultLogger('ERROR') });
  }

  const CALL = 'const result = await CancellationScope.nonCancellable(() => runOperation(args, facts));';

  test('when nothing was changed but words, it is not', async () => {
    const bundle = await changed('same', CALL, `${CALL} // as before`);
    expect(await violations(bundle)).toEqual([]);
  });

  test('by the attempt that it makes before or after the old one', async () => {
    const bundle = await changed('twice', CALL, `await runOperation(args, facts);\n  ${CALL}`);
    expect(await violations(bundle)).toEqual(WRITES.filter((file) => !file.includes('failed-run')));
  });

  test('by a timer that was not there', async () => {
    const bundle = await changed(
      'timer',
      CALL,
      `await new Promise((resolve) => setTimeout(resolve, 1_000));\n  ${CALL}`,
    );
    expect(await violations(bundle)).toEqual(WRITES);
  });

  test('by a pause between the calls of a webhook that is left out', async () => {
    const PAUSE = 'if (waitMs > 0) await sleep(waitMs);';
    expect(await violations(await changed('pause', PAUSE, `${PAUSE} //`, 'webhooks.ts'), [WEBHOOKS])).toEqual([]);
    expect(await violations(await changed('no-pause', PAUSE, '', 'webhooks.ts'), [WEBHOOKS])).toEqual([WEBHOOKS]);
  });

  test('by an attribute that it sets no longer, or sets where it did not', async () => {
    const never = await changed('never', "if (result.outcome !== 'succeeded') {", 'if (args.key === args.operation) {');
    const withAttribute = WRITES.filter((file) => /rejection|cancelled-key|mismatch/.test(file));
    expect(await violations(never)).toEqual(withAttribute);
    const always = await changed(
      'always',
      "if (result.outcome !== 'succeeded') {",
      'if (args.key !== args.operation) {',
    );
    expect(await violations(always)).toEqual(WRITES.filter((file) => /success|retries|durable-timer/.test(file)));
  });
});
