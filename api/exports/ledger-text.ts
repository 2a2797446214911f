import type { LedgerLine } from './ledger-lines.ts';

/** A general ledger as text, piece by piece: what comes before the lines, each of them, and what comes after the last one. */
export type LedgerFormat = {
  readonly contentType: string;
  /** Of the file. */
  readonly extension: string;
  begin(period: { readonly from: string | null; readonly to: string }): string;
  line(line: LedgerLine): string;
  readonly end: string;
};

/** The members of a line in the order of the columns. */
export const COLUMNS = [
  ...(['date', 'entryId', 'lineNumber', 'lineId', 'accountCode', 'currency', 'amount', 'memo', 'description'] as const),
  ...([
    'operation',
    'kind',
    'writeId',
    'requestId',
    'postedBy',
    'approvedBy',
    'postedAt',
    'reverses',
    'reversedBy',
    'entryNumber',
  ] as const),
] satisfies readonly (keyof LedgerLine)[];

/** Those that a client has written. */
const TEXTS: ReadonlySet<keyof LedgerLine> = new Set(['memo', 'description', 'requestId']);

/**
 * CSV (RFC 4180): a header, one record a line, CRLF at the end of each, the last one included. Nothing comes after the last
 * record, so that whatever reads the file finds lines of the ledger alone: that it is whole, the transfer tells.
 */
export const LEDGER_CSV: LedgerFormat = {
  contentType: 'text/csv; charset=utf-8; header=present',
  extension: 'csv',
  begin: () => `${COLUMNS.join(',')}\r\n`,
  line: (line) => `${COLUMNS.map((column) => toCell(line[column], TEXTS.has(column))).join(',')}\r\n`,
  end: '',
};

/**
 * What a spreadsheet would take for a formula gets an apostrophe in front, and so does what begins with one: whoever takes one
 * apostrophe away has the text as it is. Amounts stay what they are, negative ones included.
 */
function toCell(value: string | number | bigint | null, isText: boolean): string {
  if (value === null) return '';
  const text = isText ? String(value).replace(/^['=+\-@\t\r\n＝＋－＠]/, "'$&") : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** XML 1.0: an element for each line, in it one for each member that the line has. Without its last tag it is not whole. */
export const LEDGER_XML: LedgerFormat = {
  contentType: 'application/xml; charset=utf-8',
  extension: 'xml',
  begin({ from, to }) {
    const attributes = [...(from === null ? [] : [` from="${from}"`]), ` to="${to}"`].join('');
    return `<?xml version="1.0" encoding="UTF-8"?>\n<generalLedger${attributes}>\n`;
  },
  line(line) {
    const members = COLUMNS.flatMap((column) => {
      const value = line[column];
      return value === null ? [] : [`<${column}>${toXml(String(value))}</${column}>`];
    });
    return `<line>${members.join('')}</line>\n`;
  },
  end: '</generalLedger>\n',
};

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '\r': '&#13;' };

/**
 * XML has no way to write most control characters, nor U+FFFE and U+FFFF, not even by their numbers (XML 1.0, section 2.2):
 * each becomes U+FFFD. A carriage return is written by its number, since a parser would make a line feed of it (section 2.11).
 */
function toXml(text: string): string {
  return text.replace(NOT_IN_XML, '\uFFFD').replace(/[&<>\r]/g, (character) => ENTITIES[character] ?? character);
}

/** All but what XML 1.0 calls a character. */
const NOT_IN_XML = /[^\t\n\r -\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu;
