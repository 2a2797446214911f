import { readFileSync } from 'node:fs';

const LINES = 8;
/** Enough for a compiler error with its stack. */
export const ERROR_LOG_LINES = 30;

/** The path and the last lines of a log file, for a message about the process that wrote it. */
export function logTail(file: string, count = LINES): string {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count);
  return `The end of ${file}:\n${lines.join('\n')}`;
}
