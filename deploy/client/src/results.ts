import { objectIn } from './answers.ts';

export type ResultFormat = 'ndjson' | 'csv';

/** One answer with results. */
export type ResultPage = {
  readonly text: string;
  /** Of CSV, their numbers alone. */
  readonly rows: readonly Row[];
};

type Row = { readonly row: number };

/** Undefined for a text that is not whole, or not that of the service. */
export function resultPageOf(text: string, format: ResultFormat): ResultPage | undefined {
  const rows = format === 'csv' ? rowsInCsv(text) : rowsInNdjson(text);
  return rows === undefined ? undefined : { text, rows };
}

function rowsInNdjson(text: string): readonly Row[] | undefined {
  if (text !== '' && !text.endsWith('\n')) return undefined;
  const lines = text.split('\n').slice(0, -1).map(objectIn) as ({ readonly row?: unknown } | undefined)[];
  return lines.every(isRow) ? lines : undefined;
}

function isRow(line: { readonly row?: unknown } | undefined): line is Row {
  return typeof line?.row === 'number';
}

/** The number of a row is the first cell of its record. A line feed between quotes belongs to a cell. */
function rowsInCsv(text: string): readonly Row[] | undefined {
  const rows: Row[] = [];
  let isQuoted = false;
  let start = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '"') isQuoted = !isQuoted;
    if (character !== '\n' || isQuoted) continue;
    const first = text.slice(start, text.indexOf(',', start));
    if (/^\d{1,7}$/.test(first)) rows.push({ row: Number(first) });
    else if (start > 0 || first !== 'row') return undefined;
    start = at + 1;
  }
  return start === text.length ? rows : undefined;
}
