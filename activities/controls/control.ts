/** Something that must hold in the books of every company, after whatever happened. */
export type Control = {
  readonly name: string;
  readonly sentence: string;
  /** What it looks at, as it stands behind FROM: a control that had nothing to look at has shown nothing. */
  readonly of: string;
  /** A row with its `company_id` for each place where it does not hold. */
  readonly sql: string;
};
