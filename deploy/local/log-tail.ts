import { readFileSync } from 'node:fs';

const LINES = 8;
/** A compiler's complaint, with the stack below it. */
export const LINES_OF_AN_ERROR = 30;

/** Where it is and its last lines, for a message about the process that wrote it. */
export function logTail(file: string, count = LINES): string {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count);
  return `The end of ${file}:\n${lines.join('\n')}`;
}
