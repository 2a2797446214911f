import { expect } from 'vitest';
import type { ApiClient } from './client.ts';

/** A line of an exported ledger, by column; what it does not have is empty. */
export type ExportedLine = Readonly<Record<string, string>>;

export const GENERAL_LEDGER = '/api/reports/general-ledger';

export async function exportedCsv(api: ApiClient, query = ''): Promise<ExportedLine[]> {
  const answer = await api.get(`${GENERAL_LEDGER}${query}`);
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/csv; charset=utf-8; header=present']);
  return linesOfCsv(answer.text);
}

export function linesOfCsv(text: string): ExportedLine[] {
  const [names = [], ...records] = recordsOf(text);
  return records.map((cells) => {
    expect(cells).toHaveLength(names.length);
    return Object.fromEntries(names.map((name, index) => [name, cells[index] ?? '']));
  });
}

/** RFC 4180, section 2, to the letter: anything else fails. */
function recordsOf(text: string): string[][] {
  const records: string[][] = [];
  let cells: string[] = [];
  for (const [whole, quoted, plain = '', end] of text.matchAll(CELL)) {
    if (whole === '') break;
    cells.push(quoted?.replaceAll('""', '"') ?? plain);
    if (end === ',') continue;
    records.push(cells);
    cells = [];
  }
  expect(cells).toEqual([]);
  expect(text.match(CELL)?.join('')).toBe(text);
  return records;
}

const CELL = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g;

/** By hand, since no parser of XML is among our packages: it takes the form that we write and no other. */
export function linesOfXml(text: string): ExportedLine[] {
  const [, body = ''] =
    /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<generalLedger[^<>]*>\n([\s\S]*)<\/generalLedger>\n$/.exec(text) ?? [];
  const lines = [...body.matchAll(/<line>([\s\S]*?)<\/line>\n/g)];
  expect(lines.map(([whole]) => whole).join('')).toBe(body);
  return lines.map(([, members = '']) => {
    const found = [...members.matchAll(/<(\w+)>([^<>]*)<\/\1>/g)];
    expect(found.map(([whole]) => whole).join('')).toBe(members);
    return Object.fromEntries(found.map(([, name = '', value = '']) => [name, unescaped(value)]));
  });
}

function unescaped(text: string): string {
  return text.replace(/&(#13|lt|gt|amp);/g, (_, name: string) => ENTITIES[name] ?? '');
}

const ENTITIES: Readonly<Record<string, string>> = { '#13': '\r', lt: '<', gt: '>', amp: '&' };
