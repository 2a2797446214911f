import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SigningKey } from '../../activities/seal/signing-key.ts';
import { asAuditor } from '../../deploy/cli/auditor.ts';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { exportBundle } from '../../deploy/operator/audit-export/export-bundle.ts';
import { runCommand } from '../support/commands.ts';
import type { Company } from '../support/companies.ts';
import { keepBooks } from '../support/kept-books.ts';
import {
  type BundleLog,
  copyBundle,
  editContent,
  editLog,
  editManifest,
  type Manifest,
  modesOf,
  pythonMissing,
  removeCompany,
  sealAnew,
  type Verified,
  type VerifierOptions,
  verifiedText,
  verify,
  verifyInPython,
} from '../support/seal-bundles.ts';
import { behindAgreed, doubleAmounts, MANIPULATIONS, rowOf } from '../support/seal-manipulations.ts';
import { publishNow, sealAllOf, sealKey, signHead, stampNow } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';
import { startAuthority, type TestAuthority } from '../support/time-stamp-authority.ts';

let system: System;
let authority: TestAuthority;
let company: Company;
let other: Company;
let key: SigningKey;
let folder: ThrowawayFolder;
let noPython: string | undefined;
/** As it was exported, whole. */
let whole: string;
let journal: BundleLog;
/** Numbers of the last rows that each head of the journal covers. */
let covered: number[];
/** Heads that somebody has collected outside: some as webhook calls, some as lines of a log. */
let collected: string;

beforeAll(async () => {
  folder = openThrowawayFolder();
  [noPython, authority] = await Promise.all([pythonMissing(), startAuthority()]);
  system = await startSystem();
  company = await system.company('Kept');
  other = await system.company('Other');
  key = sealKey('test-key');
  await keepBooks(company, system.owner);
  await postedEarlier();
  await sealAllOf(system, { rowsAPage: 7, onPage: publish });
  for (const one of [company, other, company]) await one.invoice();
  await sealAllOf(system, { rowsAPage: 4 });
  await publish();
  await stampNow(system, authority);
  await company.invoice();
  await sealAllOf(system);
  await company.invoice();

  whole = await exported('whole');
  editLog(copyBundle(whole, join(folder.path, 'read')), { companyId: company.id, log: 'journal' }, (log) => {
    journal = structuredClone(log);
  });
  covered = journal.heads.map(({ head }) => JSON.parse(head).number);
  collected = join(folder.path, 'collected.ndjson');
  const heads = journal.heads.map((published, i) =>
    JSON.stringify(
      i % 2 === 0 ? { kind: 'ledger.sealed', data: published } : { level: 30, msg: 'Sealed', ...published },
    ),
  );
  writeFileSync(collected, `a line of something else\n${heads.join('\n')}\n`);
});
afterAll(async () => {
  await authority.close();
  await system.stop();
  folder.remove();
});

async function publish(): Promise<void> {
  await publishNow(system, [company.id, other.id], key);
}

/** Entries so far were posted ten days earlier. */
async function postedEarlier(): Promise<void> {
  const client = await system.owner.connect();
  await client.query("BEGIN; SELECT set_config('session_replication_role', 'replica', true)");
  await client.query("UPDATE journal_entries SET created_at = created_at - interval '10 days'");
  await client.query('COMMIT');
  client.release();
}

async function exported(name: string, days: { from?: string; to?: string } = {}, of?: string): Promise<string> {
  const path = join(folder.path, name);
  await asAuditor(system.environment['AUDITOR_DATABASE_URL'] as string, (auditor) =>
    exportBundle(auditor, { folder: path, company: of, from: days.from ?? null, to: days.to ?? null }),
  );
  return path;
}

/** By both verifiers, where there is a Python: they have to say the same. */
async function verifyWithBoth(bundle: string, options: VerifierOptions = {}): Promise<Verified> {
  const found = await verify(bundle, options);
  const second = noPython === undefined ? await verifyInPython(bundle, options) : found;
  const compared = ({ code, differences, explained, notCompared, unlisted }: Verified) => [
    ...[code, differences, explained, notCompared, unlisted],
  ];
  expect(compared(second), second.told).toEqual(compared(found));
  return found;
}

const differencesOf = async (bundle: string, options?: VerifierOptions) => {
  const { code, differences, told } = await verifyWithBoth(bundle, options);
  expect(code, told).toBe(differences?.length === 0 ? 0 : 1);
  return differences;
};

test('there is a Python for the second verifier', ({ skip }) => {
  if (noPython !== undefined) skip(`there is no Python for it: ${noPython}`);
  expect(noPython).toBeUndefined();
});

describe('a bundle', () => {
  test('is verified by both verifiers, of all companies, with all kinds of entries', async () => {
    expect(await differencesOf(whole)).toEqual([]);
    expect(await differencesOf(whole, { heads: collected, keys: join(whole, 'keys.json') })).toEqual([]);
    const text = await verifiedText(whole, { heads: collected });
    const [head, last] = [covered.length, journal.rows.length];
    expect(text).toContain(
      `Kept (${company.id})\n  journal: ${last} entries, numbers 1 to ${last}; up to head ${head}`,
    );
    expect(text).toMatch(
      /signed by test-key\n {4}Time-stamped: 1 head, .*\n {4}Behind the last published head: 1, chained/,
    );
    expect(text).toContain('Not sealed yet, and not in the bundle: 1.');
    expect(text).toContain(`Heads from outside: ${head} in ${head + 1} lines, of which ${head} are on the chains.`);
    expect(text).toContain('Nothing differs.');
    expect(covered.length).toBeGreaterThan(3);
  });

  test('has the time stamps of its heads, which OpenSSL verifies', async () => {
    const stamps = join(folder.path, 'stamps');
    const options = { heads: collected, 'time-stamps': stamps };
    const [, text = ''] = (await verifiedText(whole, options)).split('Kept (');
    const claimed =
      /Time-stamped: 1 head, the last up to number (\d+), at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) as its/.exec(text);
    expect(Number(claimed?.[1])).toBe(covered.at(-1));
    const { publishedAt } = JSON.parse(journal.heads.at(-1)?.head ?? '');
    expect(Math.abs(Date.parse(claimed?.[2] ?? '') - Date.parse(publishedAt))).toBeLessThan(600_000);
    const names = Object.keys(modesOf(stamps)).filter((name) => name.endsWith('.token'));
    // Two logs of two companies, and from outside one of them again.
    expect(names).toHaveLength(5);
    for (const name of names) {
      const of = join(stamps, name.replace(/\.token$/, '.head'));
      const asked = ['ts', '-verify', '-in', join(stamps, name), '-token_in', '-CAfile', 'root.pem'];
      const { stdout, stderr } = await authority.openssl(...asked, '-data', of);
      expect(`${stdout}${stderr}`).toContain('Verification: OK');
    }
    expect(await verify(whole, options)).toMatchObject({ code: 2, told: expect.stringMatching(/is not empty/) });
  });

  test('is for its owner alone, and not written where something is', async () => {
    const modes = modesOf(whole);
    const isFolder = (name: string) => !/\.\w+$/.test(name);
    expect(Object.keys(modes)).toContain(join(company.id, 'audit', 'heads.ndjson'));
    for (const [name, mode] of Object.entries(modes))
      expect([name, mode]).toEqual([name, isFolder(name) ? 0o700 : 0o600]);
    await expect(exported('whole')).rejects.toThrow(/is not empty/);
  });

  test('is written by the command, which the security log tells of', async () => {
    const environment = { AUDITOR_DATABASE_URL: system.environment['AUDITOR_DATABASE_URL'] as string };
    const command = (...args: string[]) => runCommand('deploy/operator/audit-verify/main.ts', args, environment);
    const path = join(folder.path, 'by-command');
    const { code, stdout, stderr } = await command('--export', path, '--company', 'Kept');
    expect(code, stderr).toBe(0);
    expect(stdout).toContain(`  Kept: ${journal.rows.length} entries, `);
    expect(await differencesOf(path)).toEqual([]);
    expect(await command('--export', path)).toMatchObject({ code: 2, stderr: expect.stringMatching(/is not empty/) });
    expect(await command('--export', `${path}2`, '--from', '2026-02-30')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/must be a day/),
    });
    const { rows } = await system.owner.query(
      "SELECT company_id FROM security_log WHERE event = 'operator_command' AND action = 'audit:verify --export' ORDER BY timestamp",
    );
    expect(rows.map(({ company_id }) => company_id)).toEqual([company.id, '00000000-0000-0000-0000-000000000000']);
  });

  test('of one company has no other, and of some days begins behind a signed head', async () => {
    const one = await exported('one', {}, 'Kept');
    expect(Object.keys(modesOf(one))).not.toContain(other.id);
    expect(await differencesOf(one, { heads: collected })).toEqual([]);
    await expect(exported('none', {}, 'Nobody')).rejects.toThrow('There is no company Nobody.');

    const fiveDaysAgo = new Date(Date.now() - 5 * 86_400_000).toISOString().slice(0, 10);
    const later = await exported('of-late', { from: fiveDaysAgo });
    expect(await differencesOf(later, { heads: collected })).toEqual([]);
    const first = (covered.at(-2) ?? 0) + 1;
    const text = await verifiedText(later);
    expect(text).toContain(`numbers ${first} to ${journal.rows.length}`);
    expect(text).toContain(`Not proved: what is before number ${first}.`);
    expect(readFileSync(join(later, 'README.txt'), 'utf8')).toContain('this is a part of the books');
    const until = await exported('until', { to: fiveDaysAgo });
    expect(await verifiedText(until, { heads: collected })).toContain(`numbers 1 to ${covered.at(-2)}; up to head`);
    const behind = { companyId: company.id, log: 'journal', heads: 1, last: covered.at(-1) };
    expect(await verifyWithBoth(until, { heads: collected })).toMatchObject({
      ...{ code: 2, differences: [], notCompared: [{ ...behind, reason: 'behind-end' }] },
    });
    const asOf = `${fiveDaysAgo}T23:59:59Z`;
    expect(await verifyWithBoth(until, { heads: collected, 'as-of': asOf })).toMatchObject({
      ...{ code: 0, differences: [], notCompared: [{ ...behind, reason: 'published-later' }] },
    });
    expect(await verifiedText(await exported('empty', { from: '2999-01-01' }))).toContain('journal: no entries');

    editManifest(later, ({ companies }) => {
      companies.find(({ id }: { id: string }) => id === company.id).logs.journal.start.digest = '1'.repeat(64);
    });
    expect(await differencesOf(later)).toMatchObject([{ kind: 'start-altered', number: first }]);
  });
});

describe('both verifiers name the same first row of', () => {
  test.each(Object.entries(MANIPULATIONS))(
    '%s',
    async (name, { edit, kind, number, has = [], log = 'journal', noRow }) => {
      const bundle = copyBundle(whole, join(folder.path, name.replaceAll(' ', '-')));
      const known = { key, covered, otherCompanyId: other.id };
      const there = { heads: collected, keys: join(whole, 'keys.json') };
      const options = Object.fromEntries(has.map((one) => [one, there[one as keyof typeof there]]));
      let [named, id] = [0, undefined as string | undefined];
      editLog(bundle, { companyId: company.id, log }, (of) => {
        named = number(of, known);
        id = of.rows[named - 1]?.id;
        edit(of, known);
      });
      const [difference, ...others] = (await differencesOf(bundle, options)) ?? [];
      expect(others).toEqual([]);
      expect(difference).toMatchObject({ kind, companyId: company.id, log, number: named });
      expect(difference?.id).toBe(noRow === true ? difference?.id : id);
    },
  );

  test('a row, in words for people', async () => {
    const bundle = copyBundle(whole, join(folder.path, 'told'));
    editLog(bundle, { companyId: company.id, log: 'journal' }, (log) => editContent(rowOf(log), doubleAmounts));
    const text = await verifiedText(bundle);
    const { number, id } = rowOf(journal);
    expect(text).toContain(
      `journal: DIFFERS at number ${number}, entry ${id}: this row is not what was sealed (row-altered)`,
    );
    expect(text).toContain('1 of 4 logs differ.');
  });

  test('a company that is gone, where heads of it are known', async () => {
    const bundle = copyBundle(whole, join(folder.path, 'gone'));
    removeCompany(bundle, company.id);
    expect(await differencesOf(bundle)).toEqual([]);
    expect(await differencesOf(bundle, { heads: collected })).toEqual([
      { kind: 'outside-company', companyId: company.id, log: 'journal', number: 1, id: null },
    ]);
  });
});

describe('what the manifest says of itself, which nobody has signed,', () => {
  /** Without the last rows and heads of the journal, as somebody can who has the folder. */
  function cut(name: string, edit: (manifest: Manifest) => void): string {
    const bundle = copyBundle(whole, join(folder.path, name));
    editLog(bundle, { companyId: company.id, log: 'journal' }, (log) =>
      MANIPULATIONS['the last rows and heads removed']?.edit(log, { key, covered, otherCompanyId: other.id }),
    );
    editManifest(bundle, edit);
    return bundle;
  }

  test('hides no head from outside: each that is not compared is told, and no success', async () => {
    const ofDays = cut('cut-days', ({ asked }) => (asked.to = '2020-01-01'));
    const behind = { companyId: company.id, log: 'journal', heads: 1, last: covered.at(-1) };
    const told = { code: 2, differences: [], notCompared: [{ ...behind, reason: 'behind-end' }] };
    expect(await verifyWithBoth(ofDays, { heads: collected })).toMatchObject(told);
    expect(await verifiedText(ofDays, { heads: collected })).toContain(
      `Not compared: 1 head, the last of number ${covered.at(-1)} of the journal of ${company.id}: they cover rows behind`,
    );
    const dated = cut('cut-dated', (manifest) => (manifest.exportedAt = '2020-01-01T00:00:00.000000Z'));
    expect(await verifyWithBoth(dated, { heads: collected })).toMatchObject({
      ...{ code: 0, differences: [], notCompared: [{ ...behind, reason: 'published-later' }] },
    });
    const asOf = { heads: collected, 'as-of': new Date().toISOString() };
    expect(await verifyWithBoth(dated, asOf)).toMatchObject(told);
    const without = copyBundle(whole, join(folder.path, 'without-company'));
    removeCompany(without, company.id);
    editManifest(without, ({ asked }) => (asked.company = other.id));
    const all = { ...behind, heads: covered.length };
    expect(await verifyWithBoth(without, { heads: collected })).toMatchObject({
      ...{ code: 2, differences: [], notCompared: [{ ...all, reason: 'not-in-bundle' }] },
    });
    expect(await verifyWithBoth(without, { heads: collected, company: other.id })).toMatchObject({
      ...{ code: 0, differences: [], notCompared: [{ ...all, reason: 'not-asked' }] },
    });
  });

  test('cuts off no beginning: without days a log begins with number 1', async () => {
    const bundle = await exported('of-late-as-whole', { from: new Date().toISOString().slice(0, 10) });
    editManifest(bundle, ({ asked }) => (asked.from = null));
    expect(await verifyWithBoth(bundle)).toMatchObject({
      ...{ code: 2, differences: undefined, told: expect.stringMatching(/begins later/) },
    });
  });
});

test('both verifiers find two heads of one position, and tell a head that agrees and is not in the bundle', async () => {
  const last = JSON.parse(journal.heads.at(-1)?.head ?? '');
  const kept = (name: string, changed: object) => {
    const path = join(folder.path, name);
    writeFileSync(path, `${JSON.stringify(signHead({ ...last, ...changed }, key))}\n`);
    return path;
  };
  const twice = kept('twice.ndjson', { root: '2'.repeat(64) });
  expect(await differencesOf(whole, { heads: twice })).toMatchObject([
    { kind: 'outside-head', companyId: company.id, log: 'journal', number: (covered.at(-2) ?? 0) + 1 },
  ]);
  const another = kept('another.ndjson', { position: 99 });
  expect(await verifyWithBoth(whole, { heads: another })).toMatchObject({
    ...{ code: 0, differences: [], unlisted: [{ log: 'journal', position: 99, number: covered.at(-1) }] },
  });
});

describe('without what was kept outside', () => {
  test('a chain that was rebuilt with its key, or with another key, is not found', async () => {
    for (const [name, signedBy] of [
      ['rebuilt', key],
      ['other-key', sealKey('test-key')],
    ] as const) {
      const bundle = copyBundle(whole, join(folder.path, name));
      const log = { companyId: company.id, log: 'journal' } as const;
      for (const of of [{ ...log, log: 'audit' } as const]) editLog(bundle, of, (edited) => sealAnew(edited, signedBy));
      editLog(bundle, log, (edited) => {
        editContent(rowOf(edited), doubleAmounts);
        sealAnew(edited, signedBy);
      });
      for (const of of ['journal', 'audit'] as const) {
        editLog(bundle, { companyId: other.id, log: of }, (edited) => sealAnew(edited, signedBy));
      }
      const x = signedBy.publicKey.toString('base64url');
      writeFileSync(
        join(bundle, 'keys.json'),
        JSON.stringify({ keys: [{ kty: 'OKP', crv: 'Ed25519', kid: 'test-key', x }] }),
      );
      editManifest(bundle, () => undefined);
      expect(await differencesOf(bundle)).toEqual([]);
      const kind = signedBy === key ? 'outside-head' : 'outside-head-signature';
      const found = await differencesOf(bundle, { heads: collected });
      expect(found).toMatchObject([{ kind, number: signedBy === key ? behindAgreed(journal, { covered }) : 1 }]);
    }
  });
});

describe('both verifiers refuse a bundle', () => {
  const FILE = 'journal/heads.ndjson';
  test.each<[string, (bundle: string) => void, RegExp]>([
    ['without its manifest', (bundle) => rmSync(join(bundle, 'manifest.json')), /no manifest\.json/],
    ['that lacks a file', (bundle) => rmSync(join(bundle, company.id, FILE)), /is missing: the bundle is incomplete/],
    [
      'with a file that was altered',
      (bundle) => appendFileSync(join(bundle, company.id, FILE), ' '),
      /is not as it was exported/,
    ],
    [
      'with a file that is not listed',
      (bundle) => writeFileSync(join(bundle, company.id, 'journal/rows-00002.ndjson'), ''),
      /is not listed/,
    ],
    [
      'with epochs that are not in their order',
      (bundle) => editManifest(bundle, ({ epochs }) => epochs.push(epochs[0])),
      /not in their order/,
    ],
    [
      'of another version',
      (bundle) => editManifest(bundle, (manifest) => (manifest.version = 2)),
      /not that of a bundle of version 1/,
    ],
    [
      'that lists a file elsewhere',
      (bundle) => editManifest(bundle, ({ files }) => (files[0].path = '../whole/keys.json')),
      /is no file of a bundle/,
    ],
  ])('%s', async (name, damage, told) => {
    const bundle = copyBundle(whole, join(folder.path, name.replaceAll(' ', '-')));
    damage(bundle);
    const found = await verifyWithBoth(bundle);
    expect(found).toMatchObject({ code: 2, differences: undefined });
    expect(found.told).toMatch(told);
  });
});
