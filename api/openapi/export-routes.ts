import type { z } from 'zod';
import { COLUMNS } from '../exports/ledger-text.ts';
import { exportQuery, GENERAL_LEDGER_PATH } from '../exports/routes.ts';
import { READERS } from '../reads/readers.ts';
import { headerRefs, parameterRef } from './headers.ts';
import { type Json, toJsonSchema } from './json-schema.ts';
import { possible, problemResponses } from './problem-responses.ts';
import { headersOf, OF_EVERY_READ } from './read-routes.ts';

/** What is read as one file of any length. */
export const EXPORT_PATHS: Readonly<Record<string, Json>> = {
  [GENERAL_LEDGER_PATH]: {
    get: {
      operationId: 'exportGeneralLedger',
      tags: ['reports'],
      summary: 'Export the general ledger',
      description:
        'Every line of the entries of a period, oldest first, with its entry, who posted it by which request, what it reverses ' +
        'and what reverses it. All entries that were there when the export began, and none of later; it is sent as fast as the ' +
        'client takes it.\n\n' +
        '`Accept: application/xml` asks for XML, otherwise it is CSV (RFC 4180). A text that a spreadsheet would take for a ' +
        'formula, or that begins with an apostrophe, has one in front in CSV; what XML cannot hold is U+FFFD there. An answer ' +
        'that is cut off is not whole: the connection ends before it does, and XML lacks its last tag.\n\n' +
        `Columns in their order: ${COLUMNS.map((name) => `\`${name}\``).join(', ')}. XML is \`<generalLedger from="…" to="…">\` (no ` +
        '`from` where none was asked for) with a `<line>` for each, which has an element of that name for each member that is not null.\n\n' +
        'The file is called `general-ledger-FROM-TO.csv` (or `.xml`), and `general-ledger-until-TO.csv` without a first day.\n\n' +
        'Two exports of a company at once (429), and 16 of a process (503). A manager gets no entry of payroll.\n\n' +
        `Roles: ${READERS.ledger.join(', ')}.`,
      parameters: [
        ...Object.entries(exportQuery.shape).map(([name, member]) => ({
          name,
          in: 'query',
          required: false,
          schema: toJsonSchema(member as z.ZodType),
        })),
        parameterRef('RequestId'),
      ],
      responses: {
        '200': {
          description: 'The lines, amounts in minor units, debit positive',
          headers: headerRefs(['X-Request-Id', 'Content-Disposition']),
          content: { 'text/csv': { schema: { type: 'string' } }, 'application/xml': { schema: { type: 'string' } } },
        },
        ...problemResponses(possible([...OF_EVERY_READ, 'overloaded']), headersOf),
      },
    },
  },
};
