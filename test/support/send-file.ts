import { Readable } from 'node:stream';

/**
 * The client of a large file, as a process of its own: `node test/support/send-file.js URL TOKEN KEY ROWS`. Makes the rows as they
 * are sent. Prints the status of the answer, what was answered, and the most memory that it has used, in bytes.
 */
const [, , url = '', token = '', key = '', rows = '0'] = process.argv;
const ROWS_A_PIECE = 500;
/** So that what is kept of a row by mistake is soon a lot. */
const PADDING = 'x'.repeat(120);

function* pieces(): Generator<Buffer> {
  for (let from = 0; from < Number(rows); from += ROWS_A_PIECE) {
    const lines: string[] = [];
    for (let at = from; at < Math.min(from + ROWS_A_PIECE, Number(rows)); at += 1) {
      lines.push(`{"body":{"name":"${key} ${at} ${PADDING}"}}\n`);
    }
    yield Buffer.from(lines.join(''));
  }
}

const response = await fetch(`${url}/api/batches?operation=createCustomer`, {
  method: 'POST',
  headers: { authorization: `Bearer ${token}`, 'idempotency-key': key, 'content-type': 'application/x-ndjson' },
  body: Readable.toWeb(Readable.from(pieces(), { objectMode: false })) as NonNullable<RequestInit['body']>,
  ...({ duplex: 'half' } as object),
});
const answer: unknown = await response.json();
console.log(JSON.stringify({ status: response.status, answer, peakBytes: process.resourceUsage().maxRSS * 1_024 }));
