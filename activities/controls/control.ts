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
};
