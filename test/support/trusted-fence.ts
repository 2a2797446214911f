import type pg from 'pg';
import type { Fence } from '../../activities/write/fence.ts';
import { FIRST_EPOCH, type Trust } from '../../workflows/messages.ts';

/** What a process knows of a verified database, for tests of what does not ask the database whether it is true. */
export const TRUSTED: Fence = fenceOf({
  version: '5f5d7f0e-6d3b-4c39-9d5c-3c1f0c1c7d11',
  incarnation: 'cluster/start/database',
  epoch: FIRST_EPOCH,
});

/** What a process knows of this database. */
export async function trustOf(owner: pg.Pool): Promise<Fence> {
  const { rows } = await owner.query<Trust>('SELECT version, incarnation() AS incarnation, epoch FROM verification');
  if (rows[0] === undefined) throw new Error('The table verification has one row, always');
  return fenceOf(rows[0]);
}

function fenceOf(trust: Trust): Fence {
  return { trust, notice: () => undefined, readTrust: async () => trust };
}
