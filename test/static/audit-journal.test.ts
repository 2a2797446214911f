import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { type FileJournal, openFileJournal } from '../../deploy/operator/audit-verify/file-journal.ts';

const finding = { kind: 'event-missing', rowId: 'one' };

async function findingsOf(journal: FileJournal): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const one of journal.findings()) found.push(one);
  return found;
}

test('two audits of the same at a time keep their findings apart, and neither is gone on from while it runs', async () => {
  const of = randomUUID();
  const mine = await openFileJournal(of, { resume: false });
  mine.note({ task: 'writes', step: { findings: [finding], cursor: 1 } } as never);
  const other = await openFileJournal(of, { resume: true, pid: process.ppid });
  // Another process finds that of this one running; this process itself goes on from its own.
  expect([other.resumed, await findingsOf(other)]).toEqual([false, []]);
  expect(await findingsOf(mine)).toEqual([finding]);
  other.note({ task: 'writes', step: { findings: [], cursor: 2 } } as never);
  const again = await openFileJournal(of, { resume: true });
  expect([again.resumed, await findingsOf(again)]).toEqual([true, [finding]]);
  other.remove();
  expect(await findingsOf(again)).toEqual([finding]);
  again.remove();
  const fresh = await openFileJournal(of, { resume: true });
  expect(fresh.resumed).toBe(false);
  fresh.remove();
});
