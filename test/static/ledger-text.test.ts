import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LedgerLine } from '../../api/exports/ledger-lines.ts';
import { LEDGER_CSV, LEDGER_XML } from '../../api/exports/ledger-text.ts';
import { linesOfCsv, linesOfXml } from '../support/export-lines.ts';

const LINE: LedgerLine = {
  date: '2026-01-31',
  entryId: 'e',
  lineNumber: 1,
  lineId: 'l',
  accountCode: '1000',
  currency: 'USD',
  amount: -100_000_000_000_000_000n,
  memo: null,
  description: 'Rent',
  operation: 'createJournalEntry',
  kind: 'normal',
  writeId: 'w',
  requestId: 'r',
  postedBy: 'u',
  approvedBy: null,
  postedAt: '2026-01-31T12:00:00.000Z',
  reverses: null,
  reversedBy: null,
  entryNumber: null,
};
const PERIOD = { from: null, to: '2026-01-31' };
const csvOf = (line: Partial<LedgerLine>) => LEDGER_CSV.begin(PERIOD) + LEDGER_CSV.line({ ...LINE, ...line });
const xmlOf = (line: Partial<LedgerLine>) =>
  LEDGER_XML.begin(PERIOD) + LEDGER_XML.line({ ...LINE, ...line }) + LEDGER_XML.end;
const NOT_IN_XML = '\u0001\u001F\uFFFE\uFFFF';
/** Any text that the database can hold. */
const anyText = fc
  .string({
    unit: fc.constantFrom(...Array.from('=+-@\'"\t\r\n,;&<>]aé漢😀\u0001\u001F\u007F\u0085\u2028\uFFFD\uFFFE\uFFFF＝')),
  })
  .filter((text) => text !== '');

describe('the general ledger as CSV', () => {
  test('has a header and a record for each line, whose cells stand in its order', () => {
    expect(csvOf({})).toBe(
      'date,entryId,lineNumber,lineId,accountCode,currency,amount,memo,description,operation,kind,writeId,requestId,' +
        'postedBy,approvedBy,postedAt,reverses,reversedBy,entryNumber\r\n' +
        '2026-01-31,e,1,l,1000,USD,-100000000000000000,,Rent,createJournalEntry,normal,w,r,u,,2026-01-31T12:00:00.000Z,,,\r\n',
    );
  });

  test.each(['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '\n=1', '＝1', '－1', "'", "'=1"])(
    'takes %j for no formula: an apostrophe stands before it',
    (text) => {
      const [line] = linesOfCsv(csvOf({ description: text, memo: text, requestId: text }));
      expect(line).toMatchObject({ description: `'${text}`, memo: `'${text}`, requestId: `'${text}` });
    },
  );

  test('gives back every text, an apostrophe at its beginning taken away', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const [line, ...others] = linesOfCsv(csvOf({ description: text, memo: text }));
        expect(others).toEqual([]);
        expect([line?.['description'], line?.['memo']].map((cell) => cell?.replace(/^'/, ''))).toEqual([text, text]);
        // Nothing that a spreadsheet calculates.
        expect(line?.['description']).not.toMatch(/^[=+\-@\t\r\n＝＋－＠]/);
      }),
    );
  });
});

describe('the general ledger as XML', () => {
  test('has an element for each member that a line has, and tells its period', () => {
    expect(xmlOf({ memo: 'a < b & c > d\r\n' })).toBe(
      '<?xml version="1.0" encoding="UTF-8"?>\n<generalLedger to="2026-01-31">\n' +
        '<line><date>2026-01-31</date><entryId>e</entryId><lineNumber>1</lineNumber><lineId>l</lineId>' +
        '<accountCode>1000</accountCode><currency>USD</currency><amount>-100000000000000000</amount>' +
        '<memo>a &lt; b &amp; c &gt; d&#13;\n</memo><description>Rent</description>' +
        '<operation>createJournalEntry</operation><kind>normal</kind><writeId>w</writeId><requestId>r</requestId><postedBy>u</postedBy>' +
        '<postedAt>2026-01-31T12:00:00.000Z</postedAt></line>\n</generalLedger>\n',
    );
    expect(LEDGER_XML.begin({ from: '2026-01-01', to: '2026-01-31' })).toContain(
      '<generalLedger from="2026-01-01" to="2026-01-31">',
    );
  });

  test('gives back every text, but for what XML cannot hold', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const xml = xmlOf({ description: text });
        const [line] = linesOfXml(xml);
        expect(line?.['description']).toBe(
          Array.from(text)
            .map((one) => (NOT_IN_XML.includes(one) ? '\uFFFD' : one))
            .join(''),
        );
        // XML 1.0, production 2.
        expect(xml).toMatch(/^[\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]*$/u);
        expect(xml).not.toContain('\r');
      }),
    );
  });
});
