/** A row of the file; the first row is 1, not counting a header. */
export type Row = {
  readonly row: number;
  /** The line on which it starts, for messages. */
  readonly line: number;
} & ({ readonly input: RowInput } | { readonly malformed: string });

/** The content of a row, not yet validated. */
export type RowInput = {
  readonly key: unknown;
  readonly params: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>>;
};

/** Thrown for a row that cannot be read; other rows are not affected. */
export class MalformedRow extends Error {}
