import { readFileSync, writeFileSync } from 'node:fs';

/** Replaces what a Markdown page has between `<!-- {name}: begin -->` and `end`, and keeps the text around it. */
export function putBetweenMarkers(file: string, name: string, text: string): void {
  const page = readFileSync(file, 'utf8');
  const [beginMark, endMark] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const [begin, end] = [page.indexOf(beginMark), page.indexOf(endMark)];
  if (begin < 0 || end < begin) throw new Error(`${file} must have the lines ${beginMark} and ${endMark}.`);
  writeFileSync(file, `${page.slice(0, begin + beginMark.length)}\n\n${text}\n${page.slice(end)}`);
}
