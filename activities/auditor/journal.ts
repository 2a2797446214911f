import { type Counts, type Explained, NOTHING_CHECKED, type NotAsked } from './check.ts';
import type { Finding } from './finding.ts';
import { added, type Entry, type Journal } from './run-audit.ts';

/** What a run has come to so far, without its findings. */
export type Tally = {
  readonly checked: Counts;
  readonly findings: number;
  readonly couldNotAsk: readonly NotAsked[];
};

/** Adds up what is noted; the findings are handed on, one by one. */
export function createTally(onFinding: (finding: Finding) => void = () => undefined) {
  let tally: Tally = { checked: NOTHING_CHECKED, findings: 0, couldNotAsk: [] };
  const addNotAsked = ({ what, why }: NotAsked) => {
    const isKnown = tally.couldNotAsk.some((one) => one.what === what && one.why === why);
    if (!isKnown) tally = { ...tally, couldNotAsk: [...tally.couldNotAsk, { what, why }] };
  };
  return {
    note(entry: Entry): void {
      if ('notAsked' in entry) addNotAsked(entry.notAsked);
      if (!('step' in entry)) return;
      const { checked, findings = [], notAsked = [] } = entry.step;
      for (const finding of findings) onFinding(finding);
      tally = { ...tally, checked: added(tally.checked, checked), findings: tally.findings + findings.length };
      for (const one of notAsked) addNotAsked(one);
    },
    get tally(): Tally {
      return tally;
    },
  };
}

/** In memory, for a run that begins again when it is interrupted. Keeps the first findings, and counts all of them. */
export function createMemoryJournal(
  mostFindings: number,
): Journal & { readonly tally: Tally; findings: Finding[]; explained: Explained[] } {
  const explained: Explained[] = [];
  const findings: Finding[] = [];
  const sum = createTally((finding) => {
    if (findings.length < mostFindings) findings.push(finding);
  });
  return {
    findings,
    explained,
    note(entry) {
      sum.note(entry);
      if ('step' in entry) explained.push(...(entry.step.explained ?? []).slice(0, mostFindings - explained.length));
    },
    stateOf: () => ({ done: false, cursor: undefined }),
    get tally() {
      return sum.tally;
    },
  };
}
