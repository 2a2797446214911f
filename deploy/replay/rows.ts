/** A row of the file, in the order of the file; the first is 1, whatever the file starts with. */
export type Row = {
  readonly row: number;
  /** Where it starts in the file, for people. */
  readonly line: number;
} & ({ readonly input: RowInput } | { readonly malformed: string });

/** What a row says, before anything is made of it. */
export type RowInput = {
  readonly key: unknown;
  readonly params: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>>;
};

/** Thrown for a row that cannot be read; the others can. */
export class MalformedRow extends Error {}
