import type pg from 'pg';
import { inParallel } from '../cli/in-parallel.ts';
import { openPooledHttp } from '../cli/pooled-http.ts';
import { resourceOf } from '../client/src/answers.ts';
import { type Http, segment } from '../client/src/http.ts';
import type { Finding } from './check-answers.ts';
import type { Tokens } from './run.ts';

const CONNECTIONS = 8;

/** A write that was executed with approvals. */
type Approved = {
  readonly company_id: string;
  readonly key: string;
  readonly user_id: string;
  readonly approved_by: string;
  readonly entry_id: string | null;
};

/** Reads, as the owner of each company does, what waits, and whom writes and entries name. */
export async function readApprovals(
  auditor: pg.Client,
  url: string,
  companyIds: readonly string[],
  tokens: readonly Tokens[],
): Promise<readonly Finding[]> {
  const { rows } = await auditor.query<Approved>(
    `SELECT r.company_id, r.idempotency_key AS key, r.user_id, r.approved_by, e.id AS entry_id FROM approval_requests r
     JOIN idempotent_writes w ON w.company_id = r.company_id AND w.idempotency_key = r.idempotency_key
     LEFT JOIN journal_entries e ON e.company_id = w.company_id AND e.write_id = w.write_id
     WHERE r.company_id = ANY ($1) AND w.outcome = 'succeeded'`,
    [companyIds],
  );
  const http = openPooledHttp(url, { connections: CONNECTIONS });
  const tokenOf = (companyId: string) => tokens[companyIds.indexOf(companyId)]?.owner ?? '';
  try {
    const misnamed = await inParallel(CONNECTIONS, rows, async (row) => {
      const paths = [
        `/api/writes/${segment(row.key)}`,
        ...(row.entry_id ? [`/api/ledger/entries/${row.entry_id}`] : []),
      ];
      const told = await Promise.all(paths.map((path) => read(http, path, tokenOf(row.company_id))));
      const [write = {}, entry] = told;
      const isRight =
        write['approvedBy'] === row.approved_by &&
        (entry === undefined || (entry['approvedBy'] === row.approved_by && entry['postedBy'] === row.user_id));
      return isRight ? [] : [`${row.company_id} ${row.key}: ${JSON.stringify(told).slice(0, 500)}`];
    });
    const waiting = await inParallel(1, companyIds, async (companyId) => {
      const list = await read(http, '/api/approvals', tokenOf(companyId));
      return Array.isArray(list['items']) && list['items'].length === 0
        ? []
        : [`${companyId}: ${JSON.stringify(list)}`];
    });
    return [
      {
        promise: 'A write and its entry name who made and who approved it',
        checked: rows.length,
        wrong: misnamed.flat(),
      },
      { promise: 'No company is told that something waits', checked: companyIds.length, wrong: waiting.flat() },
    ];
  } finally {
    await http.close();
  }
}

async function read(http: Http, path: string, token: string): Promise<Readonly<Record<string, unknown>>> {
  const answer = await http.send({ method: 'GET', path, token });
  return { ...resourceOf(answer), status: answer.status };
}
