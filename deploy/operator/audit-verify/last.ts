import {
  type Counts,
  type Explained,
  NOTHING_CHECKED,
  type NotAsked,
  type Range,
} from '../../../activities/auditor/check.ts';
import type { Finding } from '../../../activities/auditor/finding.ts';
import { asAuditor } from '../../cli/auditor.ts';

export type LastAudit = Range & {
  readonly scope: 'recent' | 'all';
  readonly endedAt: string;
  readonly checked: Counts;
  /** How many there were; `findings` are the first. */
  readonly count: number;
  readonly findings: readonly Finding[];
  readonly couldNotAsk: readonly NotAsked[];
  /** The first of them. */
  readonly explained: readonly Explained[];
};

/** What the newest scheduled audit has found; undefined where none has ended. */
export function lastAudit(databaseUrl: string): Promise<LastAudit | undefined> {
  return asAuditor(databaseUrl, async (auditor) => {
    const { rows } = await auditor.query<LastAudit>(
      `SELECT scope, to_char(ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS "endedAt", from_day::text AS "from",
         to_day::text AS "to", checked, finding_count::integer AS count, findings, could_not_ask AS "couldNotAsk", explained
       FROM audit_runs ORDER BY ended_at DESC LIMIT 1`,
    );
    const [last] = rows;
    // What an earlier release has recorded lacks what it did not count.
    return last && { ...last, checked: { ...NOTHING_CHECKED, ...last.checked } };
  });
}
