import type { RowResult } from './results.ts';

/** One JSON object a line. */
export function toNdjson(rows: readonly RowResult[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}

const COLUMNS = ['row', 'key', 'outcome', 'status', 'resourceId', 'code', 'detail', 'resource', 'problem'] as const;

/** CSV (RFC 4180); `resource` and `problem` are JSON. The header comes with the first page alone. */
export function toCsv(rows: readonly RowResult[], { header }: { readonly header: boolean }): string {
  const lines = rows.map(({ row, key, outcome, status, resource, problem }) => {
    const { id } = (resource ?? {}) as { id?: string };
    const { code, detail } = (problem ?? {}) as { code?: string; detail?: string };
    const cells = [row, key, outcome, status, id, code, detail, jsonOf(resource), jsonOf(problem)];
    return cells.map(toCell).join(',');
  });
  return [...(header ? [COLUMNS.join(',')] : []), ...lines].map((line) => `${line}\r\n`).join('');
}

function jsonOf(value: unknown): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value);
}

/** What a spreadsheet would take for a formula gets an apostrophe in front: a key or a text can be anyone's. */
function toCell(value: string | number | null | undefined): string {
  if (value === null || value === undefined) return '';
  const text = String(value);
  const harmless = typeof value === 'string' && /^[=+\-@\t\r\n]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
