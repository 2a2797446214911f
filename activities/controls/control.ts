/** An invariant of the books that holds for every company at any time. */
export type Control = {
  readonly name: string;
  readonly sentence: string;
  /**
   * Whether a month closes only while this control holds. So it is for the controls of accounts, entries and documents, from
   * which the figures of a month come. The controls of the record of the writes do not concern a month: they read every key
   * that was ever sent, and audit rows that leave the database by the month.
   */
  readonly closesMonth: boolean;
  /** It misses audit rows that are archived: with such months it cannot be asked. */
  readonly needsAuditRows?: true;
  /** The rows that it checks, as a FROM clause: a control that found no rows to check has proved nothing. */
  readonly of: string;
  /** Returns a row, with its `company_id`, for each violation. */
  readonly sql: string;
  /**
   * The same as of a day (`$1`), for the closing of the books through it: what is dated later does not count. Without it, the
   * control is asked as of now.
   */
  readonly sqlAsOf?: string;
  /**
   * Its rows compare amounts: each has `currency`, and `expected_minor` and `found_minor`, which are null where no amount is
   * wrong. A row about one day has it as `day`. Null: of no account in particular.
   */
  readonly compares?: { readonly accountCode: string | null };
  /** Where the API shows what a row is about: columns of the row, and the day as `through`, stand in braces. */
  readonly links?: readonly string[];
};

/** Conditions that hold of every row, or of what counts as of the day `$1`. */
type AsOf = {
  /** That a date is not later. */
  readonly until: (date: string) => string;
  /** That a state which lasts until `next`, a date or NULL, is not over before the days that are being closed. */
  readonly lastsInto: (next: string) => string;
};

/** The SQL of a control in both of its forms. */
export function dated(sql: (asOf: AsOf) => string): Pick<Control, 'sql'> & { readonly sqlAsOf: string } {
  return {
    sql: sql({ until: () => 'true', lastsInto: () => 'true' }),
    sqlAsOf: sql({
      until: (date) => `${date} <= $1::date`,
      // Days that are closed stay as they are: nobody can put them right.
      lastsInto: (next) => `(${next} IS NULL OR ${next} > (
          SELECT coalesce(c.books_closed_through, '-infinity') + 1 FROM companies c WHERE c.id = company_id))`,
    }),
  };
}
