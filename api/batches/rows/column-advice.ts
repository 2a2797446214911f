/** What whoever sends a CSV file can do about its header: the command has options for that, the API has none. */
export type ColumnAdvice = {
  /** The operation has no such member. `column` is as it may be printed. */
  unknownColumn(column: string): string;
  /** The cells are separated by this character. */
  otherDelimiter(delimiter: string): string;
};

export const API_ADVICE: ColumnAdvice = {
  unknownColumn: () =>
    'Name each column after the path of the member that its cells set, such as lines.0.description or params.invoiceId, ' +
    'and leave out what the operation does not have.',
  otherDelimiter: () => 'Separate them by commas.',
};
