import { expect, test } from 'vitest';
import { preferredType } from '../../api/http/accept.ts';

test.each([
  [undefined, 'ndjson'],
  ['', 'ndjson'],
  ['*/*', 'ndjson'],
  ['application/x-ndjson', 'ndjson'],
  ['application/json', 'ndjson'],
  ['text/csv', 'csv'],
  ['TEXT/CSV; Charset=utf-8', 'csv'],
  ['text/*', 'csv'],
  ['text/csv, */*', 'csv'],
  ['text/csv, */*;q=0.1', 'csv'],
  ['text/csv;header=present;q=0.9, application/json', 'csv'],
  ['text/csv;q=0', 'ndjson'],
  ['text/csv; q=0.000', 'ndjson'],
  ['text/csv;q=0, */*', 'ndjson'],
  ['text/csv;q=0, text/*', 'ndjson'],
  ['text/csv;q=0.5, application/x-ndjson', 'ndjson'],
  ['application/x-ndjson, text/csv', 'ndjson'],
  ['application/x-ndjson;q=0.5, text/csv', 'csv'],
  ['application/x-ndjson;q=0, */*;q=0.1', 'csv'],
  ['text/csv-schema', 'ndjson'],
  ['text/csv;q=nonsense', 'csv'],
  [',;,=;q', 'ndjson'],
])('Accept: %s asks for %s', (header, format) => {
  const types = { ndjson: 'application/x-ndjson', csv: 'text/csv' } as const;
  expect(preferredType(header, [types.ndjson, types.csv])).toBe(types[format as keyof typeof types]);
});
