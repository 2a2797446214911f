import type { Write } from '../../../client/src/generated/types.ts';

const NAMES: Readonly<Record<Write['state'], string>> = {
  running: 'running',
  pending_approval: 'waits for approval',
  succeeded: 'succeeded',
  rejected: 'rejected',
  cancelled: 'cancelled',
  lost: 'lost',
  failed: 'failed',
  unknown: 'unknown',
};

/** The state of a write: in a word, and not by its colour alone. */
export function State({ state }: { readonly state: Write['state'] }) {
  return <span class={`state ${state}`}>{NAMES[state]}</span>;
}
