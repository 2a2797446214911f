import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SEALED_LOGS, type SealedLog } from '../../activities/seal/content.ts';
import { loseBehind } from './seals.ts';
import type { System } from './system.ts';

/** The database is restored to where the heads of these numbers had just been published, and verified by an operator. */
export async function restoreTo(
  { owner }: Pick<System, 'owner'>,
  companyId: string,
  kept: Readonly<Record<SealedLog, number>>,
  { operator, reason }: { readonly operator: string; readonly reason: string },
): Promise<void> {
  const client = await owner.connect();
  await client.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
  for (const log of SEALED_LOGS) await loseBehind(client, { companyId, log }, kept[log]);
  const epoch = randomUUID();
  const values = [epoch, operator, reason];
  await client.query('INSERT INTO operator_verifications (epoch, operator, reason) VALUES ($1, $2, $3)', values);
  await client.query('UPDATE verification SET epoch = $1', [epoch]);
  await client.query('COMMIT');
  client.release();
}

/** Of each log, how many rows its last published head covers. */
export async function headNumbers(
  { owner }: Pick<System, 'owner'>,
  companyId: string,
): Promise<Record<SealedLog, number>> {
  const { rows } = await owner.query(
    'SELECT log, max(number)::integer AS number FROM seal_heads WHERE company_id = $1 GROUP BY log',
    [companyId],
  );
  return Object.fromEntries(rows.map(({ log, number }) => [log, number])) as Record<SealedLog, number>;
}

/** The heads in a file of lines, as they were signed. */
export function headsIn(path: string): { readonly log: SealedLog; readonly position: number }[] {
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(JSON.parse(line).head));
}
