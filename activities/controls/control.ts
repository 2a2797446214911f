/** An invariant of the books that holds for every company at any time. */
export type Control = {
  readonly name: string;
  readonly sentence: string;
  /** The rows that it checks, as a FROM clause: a control that found no rows to check has proved nothing. */
  readonly of: string;
  /** Returns a row, with its `company_id`, for each violation. */
  readonly sql: string;
};
