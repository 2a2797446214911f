import { createHash } from 'node:crypto';
import { keyOfRow } from '../../../../activities/batches/row-key.ts';

/** A file of payments, one minor unit each, as JSON lines; made again by each reading, so that none of it stays in memory. */
export type PaymentsFile = {
  readonly rows: number;
  /** SHA-256 of its bytes, in hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
  pieces(): Iterable<Buffer>;
  /** Those that follow from the file and the row. */
  keys(): string[];
};

const ROWS_A_PIECE = 500;

/** The rows pay the invoices in turn. `mark` stands in each row: files with the same mark are the same file. */
export function paymentsFile(options: {
  readonly invoiceIds: readonly string[];
  readonly rows: number;
  readonly mark: string;
}): PaymentsFile {
  const { invoiceIds, rows, mark } = options;
  function* pieces(): Generator<Buffer> {
    for (let from = 0; from < rows; from += ROWS_A_PIECE) {
      const count = Math.min(ROWS_A_PIECE, rows - from);
      const lines = Array.from({ length: count }, (_, at) => lineOf(invoiceIds, from + at, mark));
      yield Buffer.from(lines.join(''));
    }
  }
  const hash = createHash('sha256');
  let bytes = 0;
  for (const piece of pieces()) {
    hash.update(piece);
    bytes += piece.length;
  }
  const sha256 = hash.digest('hex');
  return {
    rows,
    sha256,
    bytes,
    pieces,
    keys: () => Array.from({ length: rows }, (_, at) => keyOfRow(sha256, at + 1)),
  };
}

function lineOf(invoiceIds: readonly string[], at: number, mark: string): string {
  const invoiceId = invoiceIds[at % invoiceIds.length];
  return `{"body":{"invoiceId":"${invoiceId}","amount":1,"currency":"USD","method":"bank_transfer","receivedOn":"2026-02-01","reference":"${mark}-${at + 1}"}}\n`;
}
