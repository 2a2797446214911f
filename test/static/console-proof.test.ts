import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { projectFolder } from '../../deploy/cli/local-config.ts';
import type { WriteProof } from '../../deploy/client/src/generated/types.ts';
import { checkProof, type Jwks, Unreadable } from '../../deploy/console/page/proof.ts';

/** The example of docs/seal-format.md, which verify.mjs accepts (seal-format.test.ts). */
const PAGE = readFileSync(join(projectFolder, 'docs/seal-format.md'), 'utf8');
const EXAMPLE = JSON.parse(/```json\n([\s\S]*?)\n```/.exec(PAGE)?.[1] ?? '') as { proof: WriteProof; keys: Jwks };

type Row = WriteProof['rows'][number];
/** That of the entry alone, since a change is made to one row. */
const ENTRY: WriteProof = { ...EXAMPLE.proof, rows: EXAMPLE.proof.rows.filter(({ log }) => log === 'journal') };
const proofWith = (change: (row: Row, proof: WriteProof) => void): WriteProof => {
  const proof = structuredClone(ENTRY);
  const [row] = proof.rows;
  if (row === undefined) throw new Error('The example has no row');
  change(row, proof);
  return proof;
};
const faultsOf = async (proof: WriteProof, keys = EXAMPLE.keys) =>
  (await checkProof(proof, keys)).map((row) => (row.state === 'fault' ? row.fault : row.state));

/** The example under a key of this test, which can sign heads that are not those of the example. */
const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const OWN_KEYS: Jwks = { keys: [{ ...(publicKey.export({ format: 'jwk' }) as object), kid: 'own' }] };
const signed = (row: Row, head: string) => {
  row.head = { head, keyId: 'own', signature: sign(null, Buffer.from(head), privateKey).toString('base64') };
};

afterEach(() => vi.unstubAllGlobals());

describe('the proof of the example of the format, checked as browsers do', () => {
  test('is proved, and tells what was sealed, under which head and by which key', async () => {
    const [row, ofAudit] = await checkProof(EXAMPLE.proof, EXAMPLE.keys);
    expect(ofAudit).toMatchObject({ state: 'proved', log: 'audit', content: { idempotencyKey: EXAMPLE.proof.key } });
    expect(row).toMatchObject({
      state: 'proved',
      log: 'journal',
      keyId: 'example',
      key: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
      content: { entryId: '22222222-2222-4222-8222-222222222222' },
    });
  });

  test('is of an altered row where its content or leaf is another, or is not canonical', async () => {
    const changed = [
      (row: Row) => (row.content = row.content.replace('120000', '120001')),
      (row: Row) => (row.leaf = row.leaf.replace(/^./, (digit) => (digit === '0' ? '1' : '0'))),
      (row: Row) => (row.content = ` ${row.content}`),
      (row: Row) => (row.content = 'no JSON'),
    ];
    for (const change of changed) expect(await faultsOf(proofWith(change))).toEqual(['row-altered']);
  });

  test('is of a foreign row where the proof is of another company, log, write or key', async () => {
    const changed = [
      (_row: Row, proof: WriteProof) => (proof.companyId = '00000000-0000-4000-8000-000000000000'),
      (_row: Row, proof: WriteProof) => (proof.writeId = '00000000-0000-5000-8000-000000000000'),
      (_row: Row, proof: WriteProof) => (proof.key = `${proof.key}-other`),
      (row: Row) => (row.log = 'audit'),
    ];
    for (const change of changed) expect(await faultsOf(proofWith(change))).toEqual(['row-foreign']);
  });

  test('does not fit its head where a path leads elsewhere, or the head is another', async () => {
    const changed = [
      (row: Row) => row.path.pop(),
      (row: Row) => row.path.reverse(),
      (row: Row) => (row.batchPath = []),
      (row: Row) =>
        (row.path = row.path.map(({ side, digest }) => ({ side: side === 'left' ? 'right' : 'left', digest }))),
      (row: Row) => (row.head.head = row.head.head.replace(/"root":"./, '"root":"')),
      (row: Row) => (row.head.head = row.head.head.replace('{', '{ ')),
      (row: Row) => (row.head.head = row.head.head.replace('"version":1', '"version":1,"more":1')),
    ];
    for (const change of changed)
      expect(
        await faultsOf(
          proofWith((row) => {
            change(row);
          }),
        ),
      ).toEqual(['head-altered']);
  });

  test('is not signed where the signature, the key or the signed text is another', async () => {
    const later = (row: Row) => (row.head.head = row.head.head.replace(/"publishedAt":"2026/, '"publishedAt":"2027'));
    const changed = [
      later,
      (row: Row) => (row.head.keyId = 'another'),
      (row: Row) => (row.head.signature = `${row.head.signature.slice(0, -4)}AAA=`),
      (row: Row) => (row.head.signature = `${row.head.signature}\n`),
      (row: Row) => signed(row, row.head.head),
    ];
    for (const change of changed)
      expect(
        await faultsOf(
          proofWith((row) => {
            change(row);
          }),
        ),
      ).toEqual(['head-signature']);
    expect(await faultsOf(ENTRY, { keys: [] })).toEqual(['head-signature']);
    expect(await faultsOf(ENTRY, {})).toEqual(['head-signature']);
    expect(
      await faultsOf(
        proofWith((row) => signed(row, row.head.head)),
        OWN_KEYS,
      ),
    ).toEqual(['proved']);
  });

  test('has a time stamp of its head, or none', async () => {
    for (const timeStamp of ['', 'AAAA', 'MAA='])
      expect(await faultsOf(proofWith((row) => (row.head.timeStamp = timeStamp)))).toEqual(['head-time-stamp']);
  });

  test('is not proved where the browser knows no Ed25519, and says that all else holds', async () => {
    const subtle = new Proxy(crypto.subtle, {
      get(target, name) {
        if (name === 'importKey') return () => Promise.reject(new DOMException('no', 'NotSupportedError'));
        return Reflect.get(target, name).bind(target);
      },
    });
    vi.stubGlobal('crypto', { subtle });
    expect(await faultsOf(ENTRY)).toEqual(['unsigned']);
    expect(await faultsOf(proofWith((row) => row.path.pop()))).toEqual(['head-altered']);
  });

  test('cannot be checked without WebCrypto, without a row, or with two of one log', async () => {
    const [row] = ENTRY.rows;
    if (row === undefined) throw new Error('The example has no row');
    await expect(checkProof({ ...EXAMPLE.proof, rows: [] }, EXAMPLE.keys)).rejects.toThrow(Unreadable);
    await expect(checkProof({ ...EXAMPLE.proof, rows: [row, row] }, EXAMPLE.keys)).rejects.toThrow(Unreadable);
    vi.stubGlobal('crypto', {});
    await expect(checkProof(ENTRY, EXAMPLE.keys)).rejects.toThrow(Unreadable);
  });
});
