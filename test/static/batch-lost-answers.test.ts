import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { API_ADVICE } from '../../api/batches/rows/column-advice.ts';
import type { FileOptions } from '../../api/batches/rows/read-rows.ts';
import { EXIT, Refused } from '../../deploy/batch/ends.ts';
import { controlBatch } from '../../deploy/batch/look-after.ts';
import { withBatches } from '../../deploy/batch/session.ts';
import { submit } from '../../deploy/batch/submit.ts';
import { submitFile } from '../../deploy/batch/submit-file.ts';
import { openUpload } from '../../deploy/batch/upload.ts';
import { openSource } from '../../deploy/cli/source.ts';
import type { Batch } from '../../deploy/client/src/generated/types.ts';
import { type Answerer, drop, json, problem, startAnswering } from '../support/answering-server.ts';

const folder = mkdtempSync(join(tmpdir(), 'accubooks-lost-answers-'));
const servers: { close(): Promise<void> }[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())));
afterAll(() => rmSync(folder, { recursive: true }));

const start = async (answers: readonly Answerer[]) => {
  const server = await startAnswering(answers);
  servers.push(server);
  return server;
};

const none = problem(404, 'batch_not_found', 'none', { requestId: 'r' });
const unavailable = problem(503, 'storage_unavailable', 'retry_same_key', { retryable: true, requestId: 'r' });
const stands = (state: Batch['state'], counts: object = {}) =>
  json(200, { key: 'b', state, operation: 'createPayment', sha256: 'a', counts: { failed: 0, refused: 0, ...counts } });

const part = (of: object) => Buffer.from(JSON.stringify(of)).toString('base64url');
const OPTIONS = {
  ...{ giveUpAfter: 60, wait: true, delimiter: ',', map: new Map<string, string>() },
  token: [{ alg: 'none' }, { sub: 'u', company_id: 'c', exp: 4_000_000_000 }, {}].map(part).join('.'),
};

describe('a file that changes before it is known to be stored', () => {
  const path = join(folder, 'rows.jsonl');
  const grow = () => appendFileSync(path, '{"amount":2}\n');

  /** What the command says. `lost` attempts are sent whole and have no answer; the file grows before the next. */
  async function said({
    before = none,
    after,
    lost = 0,
    keyColumn,
    giveUpAfterMs = 2_000,
  }: {
    readonly before?: Answerer;
    readonly after: Answerer;
    readonly lost?: number;
    readonly keyColumn?: string;
    readonly giveUpAfterMs?: number;
  }): Promise<string> {
    writeFileSync(path, '{"amount":1}\n');
    const source = await openSource(path);
    if (lost === 0) grow();
    let uploads = 0;
    const { url } = await start([
      (response, request) => {
        if (request.method === 'GET') return (uploads === 0 && asked++ === 0 ? before : after)(response, request);
        uploads += 1;
        if (uploads === lost) grow();
        response.destroy();
      },
    ]);
    let asked = 0;
    const { signal } = new AbortController();
    const file: FileOptions = {
      ...{ format: 'jsonl', delimiter: ',', keyColumn, map: new Map() },
      ...{ operations: OPERATIONS, operation: createPayment, advice: API_ADVICE },
    };
    const upload = openUpload(source, file, () => undefined);
    const error: unknown = await withBatches(
      { url, source: () => 't' },
      { giveUpAfterMs, signal, onTrouble: () => undefined },
      (batches) =>
        submit(batches, {
          ...{ batchKey: 'b', operation: 'createPayment', upload, signal, waitS: 0, isNotAwaited: true },
          ...{ onFound: () => undefined, onStored: () => undefined, onBatch: () => undefined },
        }),
    ).catch((error: unknown) => error);
    source.close();
    expect(error).toBeInstanceOf(Refused);
    return (error as Refused).message;
  }

  const NOTHING =
    'The file changed before it was known to be stored. This command has written nothing of it: send it when it is complete.';
  const LOOK =
    /^The file changed .* An earlier attempt may have become a batch.* Look at that before you send the changed file.* status b$/;

  test('may be a batch by an attempt whose answer was lost, and is said to', async () => {
    expect(await said({ lost: 1, after: stands('queued') })).toMatch(/\(there is one with its key: queued\)/);
    for (const keyColumn of [undefined, 'Beleg']) {
      for (const after of [stands('completed'), stands('receiving'), none, unavailable]) {
        expect(await said({ lost: 1, after, ...(keyColumn && { keyColumn }) })).toMatch(LOOK);
      }
    }
  });

  test('is not sent again as another one where no answer comes at all', async () => {
    expect(await said({ lost: 1, after: unavailable, giveUpAfterMs: 0 })).toMatch(LOOK);
  });

  test('may be a batch by an attempt of an earlier command, and is said to', async () => {
    expect(await said({ before: stands('receiving'), after: stands('receiving') })).toMatch(LOOK);
    expect(await said({ after: stands('running') })).toMatch(LOOK);
    expect(await said({ after: unavailable })).toMatch(LOOK);
  });

  test('is not written where no attempt was whole', async () => {
    expect(await said({ after: none })).toBe(NOTHING);
    expect(await said({ after: stands('receiving') })).toBe(NOTHING);
  });

  test('is not said to be unwritten where its command is stopped', async () => {
    writeFileSync(path, '{"amount":1}\n');
    // As Ctrl-C does, once all of the file has come.
    const stop: Answerer = () => process.listeners('SIGINT').at(-1)?.('SIGINT');
    const progress = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const { url } = await start([none, stop]);
    const end = submitFile(path, { ...OPTIONS, operation: 'createPayment', url });
    await expect(end).rejects.toThrow(/^Stopped before .* If all of it had come, it is a batch .* with the same file/);
    // It is not tried again.
    expect(progress.mock.calls).toEqual([]);
    progress.mockRestore();
  });
});

describe('a control whose answer was lost', () => {
  // Its progress.
  beforeEach(() => void vi.spyOn(process.stderr, 'write').mockReturnValue(true));
  afterEach(() => void vi.restoreAllMocks());

  const conflict = problem(409, 'batch_state_conflict', 'none', { requestId: 'r' });
  const control = async (action: Parameters<typeof controlBatch>[1], answers: readonly Answerer[]) => {
    const { url } = await start(answers);
    return controlBatch('b', action, { ...OPTIONS, url });
  };

  test('is done where the batch is as it leaves it', async () => {
    for (const [action, states] of [
      ['pause', ['paused']],
      ['resume', ['queued', 'running', 'completed']],
      ['retryFailed', ['queued', 'running', 'completed']],
      ['cancel', ['cancelled']],
    ] as const) {
      for (const state of states) {
        const end = await control(action, [drop, conflict, stands(state)]);
        expect([action, end]).toMatchObject([action, { exitCode: EXIT.done, text: `Batch b: ${state}` }]);
      }
    }
  });

  test('is a conflict where nothing was lost, but for one that is as was wanted', async () => {
    for (const state of ['queued', 'running'] as const) {
      expect(await control('resume', [conflict, stands(state)])).toMatchObject({ exitCode: EXIT.done });
      await expect(control('retryFailed', [conflict, stands(state)])).rejects.toThrow('409 batch_state_conflict');
    }
    for (const action of ['resume', 'retryFailed'] as const) {
      await expect(control(action, [conflict, stands('completed')])).rejects.toThrow('409 batch_state_conflict');
    }
  });

  test('is a conflict where the batch is otherwise, or has rows that it could have tried again', async () => {
    for (const [action, state, counts] of [
      ['resume', 'cancelled', {}],
      ['retryFailed', 'cancelled', {}],
      ['retryFailed', 'completed', { failed: 1 }],
      ['retryFailed', 'completed', { refused: 1 }],
    ] as const) {
      await expect(control(action, [drop, conflict, stands(state, counts)])).rejects.toThrow(
        '409 batch_state_conflict',
      );
    }
  });
});
