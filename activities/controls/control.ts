/** Something that must hold in the books of every company, after whatever happened. */
export type Control = {
  readonly name: string;
  readonly sentence: string;
  /**
   * Whether a month is closed only while it holds: so do those of accounts, entries and documents, which its figures come
   * from. Those of the record of the writes do not: they read every key that was ever sent, and audit rows that leave the
   * database by the month.
   */
  readonly closesMonth: boolean;
  /** What it looks at, as it stands behind FROM: a control that had nothing to look at has shown nothing. */
  readonly of: string;
  /** A row with its `company_id` for each place where it does not hold. */
  readonly sql: string;
};
