import {
  type Ask,
  type AuditCheck,
  CouldNotAsk,
  type Counts,
  NOTHING_CHECKED,
  type NotAsked,
  type Part,
  type Range,
  type Step,
} from './check.ts';

/** One line of the record of a run, from which a later one goes on. */
export type Entry =
  | { readonly task: string; readonly step: Step }
  | { readonly task: string; readonly done: true }
  | { readonly task: string; readonly notAsked: NotAsked };

/** Where a run notes what it has done. The findings are only there: they may be more than fit into memory. */
export type Journal = {
  note(entry: Entry): void;
  /** What an earlier run has noted of this part. */
  stateOf(task: string): { readonly done: boolean; readonly cursor: unknown };
};

export type AuditOptions = {
  readonly ask: Ask;
  readonly checks: readonly AuditCheck[];
  /** With how many writes each has: it is the order in which parts are cut. */
  readonly companies: readonly { readonly id: string; readonly writes: number }[];
  readonly range: Range;
  readonly journal: Journal;
  /** So many statements run side by side. */
  readonly parallel: number;
  readonly signal: AbortSignal;
  onProgress?(checked: Counts, left: number): void;
};

/**
 * Asks each check of each of its parts. What a check cannot be asked is noted, and does not keep the others from being asked.
 * Rejects only when the signal is aborted.
 */
export async function runAudit(options: AuditOptions): Promise<void> {
  const { ask, journal, range, signal } = options;
  const archivedMonths = await monthsInFiles(ask, range).catch((error: unknown) => {
    journal.note({ task: 'archive', notAsked: { what: 'which audit months are archived', why: whyOf(error) } });
    return [];
  });
  for (const month of archivedMonths) journal.note({ task: `archive/${month}`, notAsked: archived(month) });
  const tasks = tasksOf(options).filter(({ name }) => !journal.stateOf(name).done);
  let checked = NOTHING_CHECKED;
  let left = tasks.length;
  const rest = tasks[Symbol.iterator]();
  const lane = async () => {
    for (let next = rest.next(); !next.done; next = rest.next()) {
      const { check, part, name } = next.value;
      try {
        const context = { ask, range, archivedMonths, signal, cursor: journal.stateOf(name).cursor };
        for await (const step of check.run(part, context)) {
          journal.note({ task: name, step });
          checked = added(checked, step.checked);
          options.onProgress?.(checked, left);
        }
        journal.note({ task: name, done: true });
      } catch (error) {
        signal.throwIfAborted();
        const what = (error instanceof CouldNotAsk ? error.what : undefined) ?? check.reads;
        journal.note({ task: name, notAsked: { what, why: whyOf(error) } });
      }
      left -= 1;
      options.onProgress?.(checked, left);
    }
  };
  await Promise.all(Array.from({ length: options.parallel }, lane));
}

type Task = { readonly name: string; readonly check: AuditCheck; readonly part: Part };

/** So many writes a part of several companies has, or companies without any. */
const WRITES_A_PART = 200_000;
const COMPANIES_A_PART = 500;

function tasksOf({ checks, companies }: Pick<AuditOptions, 'checks' | 'companies'>): Task[] {
  const ids = companies.map(({ id }) => id);
  const parts = {
    everything: [ids],
    company: ids.map((id) => [id]),
    companies: groupsOf(companies),
  };
  return checks.flatMap((check) =>
    parts[check.each].map((companyIds) => {
      const of = check.each === 'everything' ? '' : `/${companyIds[0] ?? ''}`;
      return { name: `${check.name}${of}`, check, part: { companyIds } };
    }),
  );
}

function groupsOf(companies: AuditOptions['companies']): string[][] {
  const groups: string[][] = [];
  let writes = 0;
  for (const company of companies) {
    const last = groups.at(-1);
    if (last === undefined || last.length >= COMPANIES_A_PART || writes + company.writes > WRITES_A_PART) {
      groups.push([company.id]);
      writes = company.writes;
    } else {
      last.push(company.id);
      writes += company.writes;
    }
  }
  return groups;
}

export function added(checked: Counts, more: Partial<Counts> = {}): Counts {
  const sum = { ...checked };
  for (const [name, count] of Object.entries(more) as [keyof Counts, number][]) {
    (sum as Record<keyof Counts, number>)[name] += count;
  }
  return sum;
}

/** The months of the range whose audit rows are not in the database. */
async function monthsInFiles(ask: Ask, { from, to }: Range): Promise<readonly string[]> {
  const months = await ask<{ month: string }>(
    `SELECT to_char(month, 'YYYY-MM') AS month FROM archived_audit_months()
     WHERE (restored_until IS NULL OR restored_until <= now())
       AND ($1::date IS NULL OR month + interval '1 month' > $1::date) AND ($2::date IS NULL OR month <= $2::date)
     ORDER BY 1`,
    [from, to],
  );
  return months.map(({ month }) => month);
}

function archived(month: string): NotAsked {
  return { what: `the audit rows of ${month}`, why: 'The month is archived. Restore it to have its writes compared.' };
}

function whyOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The companies of an audit: all, or the one with that ID or name. Throws where there is none, or several have the name. */
export async function companiesOf(
  ask: Ask,
  company: string | undefined,
): Promise<readonly { readonly id: string; readonly writes: number }[]> {
  const found = await ask<{ id: string; writes: number }>(
    `SELECT c.id, coalesce(w.writes, 0)::integer AS writes FROM companies c
     LEFT JOIN (SELECT company_id, count(*) AS writes FROM idempotent_writes GROUP BY company_id) AS w ON w.company_id = c.id
     WHERE $1::text IS NULL OR c.id::text = lower($1) OR c.name = $1 ORDER BY c.id`,
    [company ?? null],
  );
  if (company !== undefined && found.length === 0) throw new Error(`There is no company ${company}.`);
  if (company !== undefined && found.length > 1) {
    throw new Error(`Several companies are named ${company}: give the ID.`);
  }
  return found;
}
