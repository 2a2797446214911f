const CONTEXT_LINES = 3;
const MAX_LINES_SHOWN = 80;

/** What differs between two texts, as `- old` and `+ new` lines with a few unchanged ones before them. */
export function differingLines(before: string, after: string): string[] {
  const old = before.split('\n');
  const now = after.split('\n');
  const shown: string[] = [];
  let i = 0;
  let j = 0;
  while ((i < old.length || j < now.length) && shown.length < MAX_LINES_SHOWN) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      i++;
      j++;
      continue;
    }
    shown.push(`@@ line ${i + 1}`, ...old.slice(Math.max(0, i - CONTEXT_LINES), i).map((line) => `  ${line}`));
    const meeting = nextCommonLine(old, i, now, j);
    shown.push(
      ...old.slice(i, meeting.i).map((line) => `- ${line}`),
      ...now.slice(j, meeting.j).map((line) => `+ ${line}`),
    );
    ({ i, j } = meeting);
  }
  return shown.length > MAX_LINES_SHOWN ? [...shown.slice(0, MAX_LINES_SHOWN), '… and more'] : shown;
}

/** The nearest place at which both texts go on alike; it has to hold for two lines, as blank ones meet everywhere. */
function nextCommonLine(
  old: readonly string[],
  i: number,
  now: readonly string[],
  j: number,
): { i: number; j: number } {
  for (let distance = 1; distance <= old.length - i + now.length - j; distance++) {
    for (let skipped = 0; skipped <= distance; skipped++) {
      const next = { i: i + skipped, j: j + distance - skipped };
      if (next.i > old.length || next.j > now.length) continue;
      if (old[next.i] === now[next.j] && old[next.i + 1] === now[next.j + 1]) return next;
    }
  }
  return { i: old.length, j: now.length };
}
