import { type BundleLog, editLog, type Manifest } from './seal-bundles.ts';

/** What somebody without the key may do to the epochs of a bundle, and how the journal then differs. The second epoch goes on after the first head. */
export type EpochForgery = {
  edit(bundle: string, companyId: string): void;
  readonly kind: string;
  /** Found only by heads from outside. */
  readonly byHeads?: true;
};

type Start = { epoch: number; number: number; digest: string; head: number | null };
type Parts = { readonly log: BundleLog; readonly manifest: Manifest; readonly starts: Start[] };

function forgery(kind: string, edit: (parts: Parts) => void, byHeads?: true): EpochForgery {
  return {
    ...{ kind, ...(byHeads === undefined ? {} : { byHeads }) },
    edit: (bundle, companyId) =>
      editLog(bundle, { companyId, log: 'journal' }, (log, manifest) => {
        const company = manifest.companies.find(({ id }: { id: string }) => id === companyId);
        edit({ log, manifest, starts: company.logs.journal.epochs });
      }),
  };
}

const startOf = (changed: (start: Start) => Partial<Start>) =>
  forgery('epoch-altered', ({ starts: [start] }) => {
    if (start !== undefined) Object.assign(start, changed(start));
  });

function cutLastHead(log: BundleLog): void {
  log.heads.pop();
  const { number } = JSON.parse(log.heads.at(-1)?.head ?? '');
  log.batches = log.batches.filter(({ last }) => last <= number);
  log.rows = log.rows.filter((row) => row.number <= number);
}

export const EPOCH_FORGERIES: Readonly<Record<string, EpochForgery>> = {
  'goes on from an earlier number': startOf(({ number }) => ({ number: number - 1 })),
  'goes on from a later number': startOf(({ number }) => ({ number: number + 1 })),
  'goes on from another digest': startOf(() => ({ digest: '1'.repeat(64) })),
  'names a head of later': startOf(() => ({ head: 2 })),
  'has the number of the one before': startOf(() => ({ epoch: 1 })),
  'is that of rows before it': forgery('epoch-altered', ({ log: { batches } }) => {
    if (batches[0] !== undefined) batches[0].epoch = 2;
  }),
  'is another than that of its head': forgery('head-altered', ({ log: { batches } }) => {
    const last = batches.at(-1);
    if (last !== undefined) last.epoch = 3;
  }),
  'was invented, and no head of it was signed': forgery(
    'outside-head-beyond',
    ({ log, manifest, starts }) => {
      const stated = { operator: 'Nobody', reason: 'Nothing' };
      manifest.epochs.push({ epoch: 3, beganAt: '2999-01-01T00:00:00.000000Z', ...stated });
      starts.length = 0;
      cutLastHead(log);
    },
    true,
  ),
  'is said to have begun after its heads': forgery(
    'outside-head-beyond',
    ({ log, manifest }) => {
      Object.assign(manifest.epochs[0], {
        beganAt: '2999-01-01T00:00:00.000000Z',
        operator: 'Nobody',
        reason: 'Nothing',
      });
      cutLastHead(log);
    },
    true,
  ),
};
