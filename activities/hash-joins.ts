/**
 * A column of a statement that runs before those which read all books of a company: these are then planned without nested
 * loops, to the end of the transaction. Each of their joins is by hash or merge, and reads either side once.
 *
 * Statistics that do not know a company yet say that it has one row of each table. For one row each index that begins with the
 * company is as good as any other, so a nested loop may read all rows of the company for each row of the company.
 */
export const HASH_JOINS = "set_config('enable_nestloop', 'off', true)";
