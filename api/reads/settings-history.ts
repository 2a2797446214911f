import { z } from 'zod';
import type { Tx } from '../../activities/database.ts';
import {
  COLUMN_OF_SETTING,
  SETTINGS_COLUMNS,
  type Setting,
  type SettingsRow,
  toSettings,
} from '../../activities/resources/settings.ts';
import { type List, readPage } from './page.ts';
import { planJoins } from './plan-joins.ts';
import { pageQuery } from './query.ts';
import { defineRead } from './read.ts';

const VERSIONS: List = {
  columns: `v.version, v.write_id, v.changed_at, w.user_id, w.request_id,
    coalesce(w.request -> 'body' ->> 'reopenReason',
      CASE w.operation WHEN 'reopenFiscalYear' THEN w.request -> 'body' ->> 'reason' END) AS reopen_reason`,
  from: `FROM settings_versions v
     LEFT JOIN idempotent_writes w ON w.company_id = v.company_id AND w.write_id = v.write_id`,
  where: 'v.company_id = current_company()',
  order: [{ sql: 'v.version', type: 'integer' }],
};

type VersionRow = {
  version: number;
  write_id: string | null;
  changed_at: string | null;
  user_id: string | null;
  request_id: string | null;
  reopen_reason: string | null;
};

export const listSettingsVersions = defineRead({
  path: '/api/company/settings/history',
  summary: 'List the versions of the settings: who changed what, from what to what',
  group: 'company',
  answers: { kind: 'list', resource: 'settings_version' },
  params: z.strictObject({}),
  query: z.strictObject(pageQuery),
  async read(tx, { query: { limit, cursor } }, { companyId, cursors }) {
    const page = { path: this.path, companyId, cursors, filters: {}, limit, cursor };
    await planJoins(tx, ['idempotent_writes']);
    const { rows, nextCursor } = await readPage<VersionRow>(tx, VERSIONS, [], page);
    const snapshots = await readSnapshots(
      tx,
      rows.flatMap(({ version }) => [version, version - 1]),
    );
    const items = rows.map((row) => toVersion(row, snapshots.get(row.version), snapshots.get(row.version - 1)));
    return { items, nextCursor };
  },
});

/** What is known of a version: the names of its columns that it has. */
type Snapshot = SettingsRow & { readonly known: readonly string[] };

async function readSnapshots(tx: Tx, versions: readonly number[]): Promise<ReadonlyMap<number, Snapshot>> {
  const rows = await tx.query<Snapshot>(
    `SELECT ${SETTINGS_COLUMNS}, known FROM (
       SELECT c.*, ARRAY(SELECT jsonb_object_keys(v.settings)) AS known
       FROM settings_versions v CROSS JOIN LATERAL jsonb_populate_record(
         NULL::companies, v.settings || jsonb_build_object('version', v.version)) AS c
       WHERE v.company_id = current_company() AND v.version = ANY ($1::integer[])
     ) AS snapshot`,
    [versions],
  );
  return new Map(rows.map((row) => [row.version, row]));
}

function toVersion(row: VersionRow, snapshot: Snapshot | undefined, before: Snapshot | undefined) {
  if (snapshot === undefined) throw new Error('Bug! A version of the settings without its row');
  const { version, ...settings } = toSettings(snapshot);
  return {
    version,
    changedAt: row.changed_at,
    changedBy: row.user_id,
    requestId: row.request_id,
    writeId: row.write_id,
    reopenReason: row.reopen_reason,
    changes: before === undefined ? [] : changesBetween(before, snapshot),
    settings,
  };
}

/** Null where nothing is known of one of them: SQL made it before this list was kept. */
function changesBetween(before: Snapshot, after: Snapshot) {
  if (before.known.length === 0 || after.known.length === 0) return null;
  const [from, to] = [toSettings(before), toSettings(after)];
  return (Object.keys(COLUMN_OF_SETTING) as Setting[])
    .filter((setting) => [before, after].every(({ known }) => known.includes(COLUMN_OF_SETTING[setting])))
    .filter((setting) => from[setting] !== to[setting])
    .map((setting) => ({ setting, from: from[setting], to: to[setting] }));
}
