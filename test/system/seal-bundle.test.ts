import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asAuditor } from '../../deploy/cli/auditor.ts';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { exportBundle } from '../../deploy/operator/audit-export/export-bundle.ts';
import type { Company } from '../support/companies.ts';
import { keepBooks } from '../support/kept-books.ts';
import { publishHeads, type SealKey, sealAll, sealKey } from '../support/seal.ts';
import { type System, startSystem } from '../support/system.ts';

let system: System;
let company: Company;
let other: Company;
let key: SealKey;
let folder: ThrowawayFolder;
beforeAll(async () => {
  folder = openThrowawayFolder();
  system = await startSystem();
  company = await system.company('Kept');
  other = await system.company('Other');
  key = sealKey('test-key');
  await keepBooks(company, system.owner);
  await sealAndPublish(7);
  for (const one of [company, other, company]) await one.invoice();
  await sealAndPublish(4);
  await company.invoice();
  await sealAll(system);
  await company.invoice();
});
afterAll(async () => {
  await system.stop();
  folder.remove();
});

async function sealAndPublish(rowsAPage: number): Promise<void> {
  await sealAll(system, rowsAPage);
  for (const { id } of [company, other]) await publishHeads(system.owner, id, key);
}

const exported = (name: string, days: { from?: string; to?: string } = {}, of?: string) =>
  asAuditor(system.environment['AUDITOR_DATABASE_URL'] as string, (auditor) =>
    exportBundle(auditor, {
      ...{ folder: join(folder.path, name), company: of, from: days.from ?? null, to: days.to ?? null },
    }),
  );

describe('a bundle', () => {
  test('x', async () => {
    console.log(JSON.stringify(await exported('all'), null, 1));
    cpSync(join(folder.path, 'all'), '/tmp/h4-bundle', { recursive: true });
    await system.owner.query('SELECT 1');
    expect(1).toBe(1);
  });
});
