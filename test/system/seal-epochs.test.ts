import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AuditCheck } from '../../activities/auditor/check.ts';
import type { Finding } from '../../activities/auditor/finding.ts';
import { HEADS_CHECK, SEALS_CHECK } from '../../activities/auditor/seals-check.ts';
import { SEALED_LOGS, type SealedLog } from '../../activities/seal/content.ts';
import { jwkOf, type SigningKey } from '../../activities/seal/signing-key.ts';
import { asAuditor } from '../../deploy/cli/auditor.ts';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { exportBundle } from '../../deploy/operator/audit-export/export-bundle.ts';
import { keptHeadsCheck, keptKeys, lookAtHeads } from '../../deploy/operator/audit-verify/kept-heads.ts';
import { memoHeadsCheck } from '../../worker/auditor/memo-heads-check.ts';
import { auditTampered } from '../support/audit.ts';
import { runCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { EPOCH_FORGERIES } from '../support/epoch-forgeries.ts';
import { until } from '../support/held-invoice.ts';
import { headNumbers, headsIn, restoreTo } from '../support/restored-seal.ts';
import {
  copyBundle,
  editManifest,
  type Manifest,
  pythonMissing,
  type Verified,
  type VerifierOptions,
  verifiedText,
  verify,
  verifyInPython,
} from '../support/seal-bundles.ts';
import { announceNow, loseBehind, publishNow, rebuildLog, sealAllOf, sealKey, signHead } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';

const OPERATOR = { operator: 'Ada Operator', reason: 'The disk of the database broke' };

let system: System;
let company: Company;
let key: SigningKey;
let folder: ThrowawayFolder;
let noPython: string | undefined;
/** All heads that were published, as a worker has added them to its file: two of each log before the restore, and its second again. */
let collected: string;
/** Of each log, the number of the head from which the restored database went on, and of the head that is lost. */
let kept: Record<SealedLog, number>;
let lost: Record<SealedLog, number>;

beforeAll(async () => {
  folder = openThrowawayFolder();
  noPython = await pythonMissing();
  system = await startSystem();
  company = await system.company('Restored');
  key = sealKey('test-key');
  await company.invoice();
  kept = await sealAndPublish();
  lost = await sealAndPublish();
  await restoreTo(system, company.id, kept, OPERATOR);
  await sealAndPublish();
  const query = `WorkflowType = 'announceHeads' AND TaskQueue = '${system.environment['TEMPORAL_TASK_QUEUE']}-events'`;
  await until('the runs to be listed', async () => (await system.temporal.workflow.count(query)).count === 3);
}, 120_000);
afterAll(async () => {
  await system.stop();
  folder.remove();
});

/** What is new, and the heads over it; returns their numbers. */
async function sealAndPublish(): Promise<Record<SealedLog, number>> {
  await company.invoice();
  await sealAllOf(system);
  await publishNow(system, [company.id], key);
  await announceNow(system, folder.path);
  collected = join(folder.path, `seal-heads-${new Date().toISOString().slice(0, 7)}.ndjson`);
  return headNumbers(system, company.id);
}

const memos = () => {
  const { temporal: client, environment } = system;
  return memoHeadsCheck({ client, taskQueue: environment['TEMPORAL_TASK_QUEUE'] ?? '', runsAPage: 1 });
};
const files = async (...paths: string[]) => keptHeadsCheck(await lookAtHeads(paths), {});

const compareWith = (checks: readonly AuditCheck[], work?: (client: pg.ClientBase) => Promise<unknown>) =>
  auditTampered(system.owner, { checks }, work);

/** The lines of `collected`, in a file of their own; heads are added behind them. */
function file(name: string, heads: readonly object[] = [], { without = false } = {}): string {
  const path = join(folder.path, `${name}.ndjson`);
  const added = heads.map((head) => `${JSON.stringify(head)}\n`).join('');
  writeFileSync(path, `${without ? '' : readFileSync(collected, 'utf8')}a line of something else\n${added}`);
  return path;
}

/** The head of the journal from before the loss, of which some members are others. */
function headLike(changed: object, { signedBy = key, position = 1 } = {}) {
  const head = headsIn(collected).find((one) => one.log === 'journal' && one.position === position);
  return signHead({ ...head, ...changed }, signedBy);
}

const explainedBy = (log: SealedLog) => ({
  ...{ companyId: company.id, log, position: 2, number: lost[log], publishedAt: expect.any(String) },
  ...{ epoch: 2, beganAt: expect.any(String), lastKept: kept[log], ...OPERATOR },
});
const told = (named: readonly Finding[]) => named.map(({ kind, rowId }) => `${kind} ${rowId}`).toSorted();
const inOrder = (explained: readonly { log: string }[]) => explained.toSorted((a, b) => (a.log < b.log ? 1 : -1));

describe('an epoch', () => {
  test('names the operator, the reason, and of each log where it goes on and the last published head', async () => {
    const { rows: epochs } = await system.owner.query('SELECT epoch, operator, reason FROM seal_epochs ORDER BY epoch');
    expect(epochs).toEqual([
      { epoch: 1, operator: null, reason: null },
      { epoch: 2, ...OPERATOR },
    ]);
    const { rows: starts } = await system.owner.query(
      `SELECT s.log, s.epoch, s.number::integer, s.head_position, s.digest = b.head AS is_there FROM seal_epoch_starts s
       JOIN seal_batches b ON b.company_id = s.company_id AND b.log = s.log AND b.last_number = s.number
       WHERE s.company_id = $1 ORDER BY s.log DESC`,
      [company.id],
    );
    expect(starts).toEqual(
      SEALED_LOGS.map((log) => ({ log, epoch: 2, number: kept[log], head_position: 1, is_there: true })),
    );
    await expect(system.owner.query('DELETE FROM seal_epoch_starts')).rejects.toThrow('it explains what is gone');
    await expect(system.owner.query("UPDATE operator_verifications SET reason = 'x'")).rejects.toThrow('it explains');
  });
});

describe('the auditor, by the heads in files and in the memos of runs', () => {
  test('calls the heads of what a restore has taken explained, and finds nothing', async () => {
    for (const check of [memos(), await files(collected)]) {
      const { named, explained, checked, couldNotAsk } = await compareWith([check]);
      expect([named, couldNotAsk, checked.outsideHeads]).toEqual([[], [], 6]);
      expect(inOrder(explained)).toEqual(SEALED_LOGS.map(explainedBy));
    }
  });

  test('finds them where no operator has stated why, when the epoch began or afterwards', async () => {
    const unstated = 'UPDATE seal_epochs SET operator = NULL, reason = NULL WHERE epoch = 2';
    const afterwards = await compareWith([memos()], (client) => client.query(unstated));
    expect(inOrder(afterwards.explained)).toEqual(SEALED_LOGS.map(explainedBy));
    for (const check of [memos(), await files(collected)]) {
      const { named, explained } = await compareWith([check], (client) =>
        client.query(`${unstated}; DELETE FROM operator_verifications`),
      );
      expect(explained).toEqual([]);
      expect(told(named)).toEqual(['head-differs audit/2', 'head-differs journal/2']);
      expect(named[0]?.detail).toMatch(/; epoch 2 began behind number \d+, and no operator has stated why: number \d+/);
    }
  });

  test('finds a chain that its owner has rebuilt with the key, from a row on, which the database itself shows nobody', async () => {
    const rebuild = async (client: pg.ClientBase) => {
      const changed = await client.query(
        `UPDATE journal_entries SET description = 'By hand' WHERE company_id = $1
           AND id = (SELECT entry_id FROM sealed_entries WHERE company_id = $1 AND number = 1)`,
        [company.id],
      );
      expect(changed.rowCount).toBe(1);
      await rebuildLog(client, { companyId: company.id, log: 'journal' }, key);
      // Nor does it help to say that the epoch has gone on from the beginning.
      await client.query('UPDATE seal_epoch_starts SET number = 1');
    };
    expect((await compareWith([SEALS_CHECK, HEADS_CHECK], rebuild)).named).toEqual([]);
    for (const check of [memos(), await files(collected)]) {
      const { named } = await compareWith([check], rebuild);
      expect(told(named)).toEqual(['head-differs journal/1', 'head-differs journal/2']);
    }
  });

  test('takes no epoch as an explanation of which no head was published, and finds two heads of one position', async () => {
    const { named, explained } = await compareWith([memos()], (client) =>
      client.query("DELETE FROM seal_heads WHERE company_id = $1 AND log = 'journal' AND position = 2", [company.id]),
    );
    expect([told(named), explained.map(({ log }) => log)]).toEqual([['head-differs journal/2'], ['audit']]);
    expect(named[0]?.detail).toMatch(/no head of it has been published of this log/);
    const publishedAt = '2999-01-01T00:00:00Z';
    const twice = await compareWith([await files(file('twice', [headLike({ epoch: 2, publishedAt })]))]);
    expect(twice.named).toMatchObject([
      { kind: 'head-differs', rowId: 'journal/1', detail: expect.stringMatching(/^Another head/) },
    ]);
  });

  test('finds that rows are gone which the epoch has gone on from', async () => {
    const { named, explained } = await compareWith([memos()], (client) =>
      loseBehind(client, { companyId: company.id, log: 'audit' }, 0),
    );
    expect(told(named)).toEqual(['head-missing audit/1', 'head-missing audit/2', 'head-missing audit/2']);
    expect(explained).toHaveLength(1);
    const sql = "DELETE FROM seal_batches WHERE company_id = $1 AND log = 'audit' AND first_number <= $2";
    const cut = await compareWith([memos()], (client) => client.query(sql, [company.id, kept.audit]));
    expect([told(cut.named), cut.explained.length]).toEqual([['head-missing audit/1'], 2]);
  });

  test('explains nothing that the epoch has not recorded, and cannot ask before its sweep, nor by a key that is lost', async () => {
    const unrecorded = 'DELETE FROM seal_epoch_starts';
    const passed = await compareWith([memos()], (client) => client.query(unrecorded));
    const sweeping = await compareWith([memos()], (client) =>
      client.query(`${unrecorded}; UPDATE seal_position SET phase = 'sweep entries', swept_company = DEFAULT`),
    );
    const signedBy = sealKey('lost-too');
    const heads = [headLike({ number: 999 }, { signedBy }), headLike({}, { signedBy })];
    const ofKey = await compareWith([await files(file('lost-too', heads))]);
    expect([told(passed.named), passed.explained]).toEqual([['head-differs audit/2', 'head-differs journal/2'], []]);
    expect([sweeping, ofKey]).toMatchObject([
      { named: [], explained: [], couldNotAsk: [{ why: 'The sealer still looks through all rows after a restore.' }] },
      { named: [{ kind: 'head-forged' }], couldNotAsk: [{ why: expect.stringContaining('--keys') }] },
    ]);
  });

  test('explains the heads of another life that had the same epoch, by when they were published', async () => {
    const { rows } = await system.owner.query(
      "SELECT began_at - interval '2 milliseconds' AS before FROM seal_epochs WHERE epoch = 2",
    );
    const publishedAt = rows[0].before.toISOString();
    const path = file('another-life', [headLike({ epoch: 2, number: 999, position: 7, publishedAt })]);
    expect((await compareWith([await files(path)])).explained).toContainEqual(
      expect.objectContaining({ position: 7, number: 999, epoch: 2, ...OPERATOR }),
    );
    const later = file('same-life', [
      headLike({ epoch: 2, number: 999, position: 7, publishedAt: '2999-01-01T00:00:00Z' }),
    ]);
    expect((await compareWith([await files(later)])).named).toMatchObject([
      { kind: 'head-missing', rowId: 'journal/7' },
    ]);
  });
});

describe('npm run audit:verify -- --heads', () => {
  const command = async (...args: string[]) => {
    const url = { AUDITOR_DATABASE_URL: system.environment['AUDITOR_DATABASE_URL'] ?? '' };
    return runCommand('deploy/operator/audit-verify/main.ts', ['--no-runs', ...args], url);
  };
  const keysFile = (name: string, { id, publicKey }: SigningKey) => {
    const path = join(folder.path, name);
    writeFileSync(path, JSON.stringify({ keys: [jwkOf(id, publicKey)] }));
    return path;
  };

  test('tells in text and as JSON how many heads there were, and what is explained', async () => {
    const path = file('whole');
    const { code, stdout } = await command(
      '--json',
      '--heads',
      path,
      '--heads',
      collected,
      '--keys',
      keysFile('kept.json', key),
    );
    expect(code, stdout).toBe(0);
    const { checked, findings, explained, files: told } = JSON.parse(stdout);
    expect([checked.outsideHeads, findings]).toEqual([12, []]);
    expect(inOrder(explained)).toEqual(SEALED_LOGS.map(explainedBy));
    expect(told).toEqual([
      { path, lines: 7, heads: 6 },
      { path: collected, lines: 6, heads: 6 },
    ]);
    const text = await command('--heads', path);
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(/^ +6 {2}heads kept outside$/m);
    expect(text.stdout).toContain(`Of ${path}: 6 heads in 7 lines.`);
    expect(text.stdout).toContain(
      'Explained: 2 published heads name rows that are gone. Epoch 2 began without them; Ada Operator has stated why: The disk',
    );
  });

  test.each<[string, string, () => object]>([
    ['a head that another key has signed', 'head-forged', () => headLike({}, { signedBy: sealKey('test-key') })],
    ['a head that says something else of its number', 'head-differs', () => headLike({ digest: '1'.repeat(64) })],
    [
      'a head of rows that are not there',
      'head-missing',
      () => headLike({ number: 999, epoch: 2, publishedAt: '2999-01-01T00:00:00Z' }),
    ],
    [
      'a head of a company that is not there',
      'head-missing',
      () => headLike({ companyId: 'nobody', epoch: 2, publishedAt: '2999-01-01T00:00:00Z' }),
    ],
  ])('finds %s', async (name, kind, head) => {
    const path = file(name.replaceAll(' ', '-'), [{ type: 'ledger.sealed', data: { heads: [head()] } }]);
    expect((await compareWith([await files(path)])).named).toMatchObject([
      {
        kind,
        table: 'seal_heads',
        rowId: 'journal/1',
        detail: expect.stringContaining(`${name.replaceAll(' ', '-')}.ndjson, line 8`),
      },
    ]);
  });

  test('finds all heads, those of the database too, that are signed by another key than was kept', async () => {
    const { code, stdout } = await command(
      '--json',
      '--heads',
      collected,
      '--keys',
      keysFile('other.json', sealKey('test-key')),
    );
    expect(code).toBe(1);
    const kinds = JSON.parse(stdout).findings.map(({ kind }: { kind: string }) => kind);
    expect(kinds).toEqual(Array.from({ length: 4 + 6 }, () => 'head-forged'));
  });

  test('exits with 2, and says why, where a file cannot be used', async () => {
    const without = file('no-head', [{ a: 1 }], { without: true });
    const ends = await Promise.all([
      command('--heads', collected, '--heads', without),
      command('--heads', collected, '--keys', without),
    ]);
    expect(ends).toEqual([
      { code: 2, stdout: '', stderr: expect.stringMatching(/There is no head in .*no-head\.ndjson/) },
      {
        code: 2,
        stdout: '',
        stderr: expect.stringMatching(/The keys in .*no-head\.ndjson cannot be read: .* is not JSON/),
      },
    ]);
    const broken = file('broken', [{ ...headLike({}), head: '{}' }]);
    await expect(lookAtHeads([broken])).rejects.toThrow(/Line 8 of .*broken\.ndjson has a head that cannot be read/);
    await expect(lookAtHeads([join(folder.path, 'none.ndjson')])).rejects.toThrow(/There is no .*none\.ndjson/);
    expect(() => keptKeys(file('set', [{ keys: [] }], { without: true }))).toThrow(/cannot be read/);
  });
});

describe('both verifiers of a bundle', () => {
  async function bundleOf(name: string, edit: (manifest: Manifest) => void) {
    const path = join(folder.path, name);
    await asAuditor(system.environment['AUDITOR_DATABASE_URL'] as string, (auditor) =>
      exportBundle(auditor, { folder: path, company: undefined, from: null, to: null }),
    );
    const bundle = copyBundle(path, `${path}-edited`);
    editManifest(bundle, edit);
    return bundle;
  }

  async function verifyWithBoth(bundle: string, heads?: string, more: VerifierOptions = {}): Promise<Verified> {
    const options = { ...(heads === undefined ? {} : { heads }), ...more };
    const found = await verify(bundle, options);
    const second = noPython === undefined ? await verifyInPython(bundle, options) : found;
    expect([second.code, second.differences, second.explained], second.told).toEqual([
      ...[found.code, found.differences, found.explained],
    ]);
    return found;
  }

  test('call what a restore has taken explained, a company that was made later included', async () => {
    const bundle = await bundleOf('stated', () => undefined);
    const gone = randomUUID();
    const path = file('with-a-company', [headLike({ companyId: gone })]);
    const { code, differences, explained, told } = await verifyWithBoth(bundle, path);
    expect([code, differences], told).toEqual([3, []]);
    expect(explained).toEqual([
      ...SEALED_LOGS.map(explainedBy),
      expect.objectContaining({ companyId: gone, epoch: 2, lastKept: 0, ...OPERATOR }),
    ]);
    const text = await verifiedText(bundle, { heads: path });
    expect(text).toContain(`of the journal of ${company.id} ends with number ${lost.journal}, and its rows are gone.`);
    expect(text).toMatch(
      /Epoch 2 began \d{4}-\S+Z and went on after number \d+; Ada Operator has stated why: The disk/,
    );
    expect(text).toContain('Nothing differs, but that rests on what an operator has stated');
    expect((await verifyWithBoth(bundle, path, { 'accept-epoch': '2' })).code).toBe(0);
  });

  test('find it where nobody has stated why, as in a bundle of before', async () => {
    const bundle = await bundleOf('unstated', (manifest) => {
      for (const epoch of manifest.epochs) Object.assign(epoch, { operator: null, reason: null });
      for (const { logs } of manifest.companies) {
        for (const log of Object.values(logs)) delete (log as { epochs?: unknown }).epochs;
      }
    });
    const { code, differences, explained } = await verifyWithBoth(bundle, collected);
    expect([code, explained]).toEqual([1, []]);
    expect(differences).toMatchObject(SEALED_LOGS.map((log) => ({ kind: 'outside-head', log, number: kept[log] + 1 })));
  });

  test('explain neither rows from which the epoch has gone on, nor those of it', async () => {
    const bundle = await bundleOf('kept', () => undefined);
    const before = file('before', [headLike({ digest: '1'.repeat(64) })]);
    expect((await verifyWithBoth(bundle, before)).differences).toMatchObject([
      { kind: 'outside-head', log: 'journal', number: 1 },
    ]);
    const late = { epoch: 2, publishedAt: new Date().toISOString() };
    const after = file('after', [headLike({ number: 999, position: 7, ...late })]);
    expect((await verifyWithBoth(await bundleOf('late', () => undefined), after)).differences).toMatchObject([
      { kind: 'outside-head-beyond', log: 'journal' },
    ]);
  });

  test.each(Object.entries(EPOCH_FORGERIES))('find an epoch that %s', async (name, { edit, kind, byHeads }) => {
    const bundle = await bundleOf(name.replaceAll(/\W+/g, '-'), () => undefined);
    edit(bundle, company.id);
    const { code, differences, explained } = await verifyWithBoth(bundle, byHeads && collected);
    expect(code).toBe(1);
    expect(differences).toMatchObject([{ kind, companyId: company.id, log: 'journal' }]);
    expect(explained).not.toContainEqual(expect.objectContaining({ log: 'journal' }));
  });
});
