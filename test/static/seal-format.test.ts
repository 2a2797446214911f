import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { projectFolder } from '../../deploy/cli/local-config.ts';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { pythonMissing, verify, verifyInPython } from '../support/seal-bundles.ts';

/** `npm run generate:check` compares the example with what the code makes; here are those who read it. */
const PAGE = readFileSync(join(projectFolder, 'docs/seal-format.md'), 'utf8');
const EXAMPLE = JSON.parse(/```json\n([\s\S]*?)\n```/.exec(PAGE)?.[1] ?? '');
const VERIFIER = join(projectFolder, 'deploy/operator/audit-export');

let folder: ThrowawayFolder;
beforeAll(() => {
  folder = openThrowawayFolder();
});
afterAll(() => folder.remove());

function written(name: string, value: object): string {
  const path = join(folder.path, name);
  writeFileSync(path, JSON.stringify(value));
  return path;
}

describe('the example of the format', () => {
  test('has a proof that the verifier of a bundle accepts, and not once it is changed', async () => {
    const keys = written('keys.json', EXAMPLE.keys);
    const proof = written('proof.json', EXAMPLE.proof);
    expect(await verify(VERIFIER, { proof, keys })).toMatchObject({ code: 0, differences: [] });
    const [row, ...others] = EXAMPLE.proof.rows;
    const changed = { ...row, content: row.content.replace('120000', '120001') };
    const other = written('changed.json', { ...EXAMPLE.proof, rows: [changed, ...others] });
    expect(await verify(VERIFIER, { proof: other, keys })).toMatchObject({
      code: 1,
      differences: [{ kind: 'row-altered' }],
    });
  });

  test('is what the second verifier makes of its values, salts and key', async ({ skip }) => {
    const missing = await pythonMissing();
    if (missing !== undefined) skip(`there is no Python for it: ${missing}`);
    const example = written('example.json', EXAMPLE);
    expect(await verifyInPython(VERIFIER, { example })).toMatchObject({ code: 0, differences: [] });
    const keys = written('keys.json', EXAMPLE.keys);
    const proof = written('proof.json', EXAMPLE.proof);
    expect(await verifyInPython(VERIFIER, { proof, keys })).toMatchObject({ code: 0, differences: [] });
    const [entry] = EXAMPLE.journal;
    const other = { ...entry, salted: { ...entry.salted, description: 'Something else' } };
    const changed = written('other.json', { ...EXAMPLE, journal: [other, ...EXAMPLE.journal.slice(1)] });
    expect(await verifyInPython(VERIFIER, { example: changed })).toMatchObject({ code: 1, differences: ['journal 1'] });
  });
});
