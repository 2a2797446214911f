import { printable } from '../../api/batches/rows/rows.ts';

/** A line for a terminal, which would obey control characters that a file or an answer has brought into it. */
export function printedLine(text: string): string {
  return printable(text, Number.POSITIVE_INFINITY);
}

/** The same for several lines. */
export function printed(text: string): string {
  return text.replace(/\r(?!\n)|[^\r\n]+/g, printedLine);
}

/** As JSON, which leaves some of them as they are. */
export function printedJson(value: object): string {
  return JSON.stringify(value).replace(/\p{Cc}/gu, (control) => {
    return `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
