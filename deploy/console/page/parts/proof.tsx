import { useEffect, useState } from 'preact/hooks';
import type { JournalEntry, WriteProof } from '../../../client/src/generated/types.ts';
import { moneyText } from '../money.ts';
import { type CheckedRow, type Content, checkProof, type Fault, type Jwks, Unreadable } from '../proof.ts';
import { instantText } from '../time.ts';
import { useCompany } from './company.tsx';
import { Problem } from './problem.tsx';
import { fileNameOf, saveFile } from './save-file.ts';
import { useAnswer } from './use-answer.ts';

type Entry = Pick<JournalEntry, 'id' | 'date' | 'lines'>;

/** The proof that a write is in the books, checked in this browser and told in words. `entry`: compared with what was sealed. */
export function Proof({ writeKey, entry }: { readonly writeKey: string; readonly entry?: Entry }) {
  const proof = useAnswer<WriteProof>(`/api/writes/${encodeURIComponent(writeKey)}/proof`);
  const keys = useAnswer<Jwks>('/.well-known/accubooks-seal-keys.json');
  if (proof.error?.code === 'proof_not_ready')
    return (
      <article class="outcome wait">
        <p>
          <strong>There is no proof yet.</strong> {proof.error.message}
        </p>
        <button type="button" class="outline" onClick={proof.again}>
          Ask again
        </button>
      </article>
    );
  if (proof.error !== undefined) return <Problem error={proof.error} onAgain={proof.again} />;
  if (keys.error !== undefined) return <Problem error={keys.error} onAgain={keys.again} />;
  if (proof.data === undefined || keys.data === undefined)
    return (
      <p class="waiting" aria-busy="true">
        Asking the API for the proof
      </p>
    );
  return <Checked proof={proof.data} keys={keys.data} {...(entry === undefined ? {} : { entry })} />;
}

type Found = readonly CheckedRow[] | string;

function Checked({ proof, keys, entry }: { readonly proof: WriteProof; readonly keys: Jwks; readonly entry?: Entry }) {
  const [found, setFound] = useState<Found>();
  useEffect(() => {
    let isShown = true;
    checkProof(proof, keys).then(
      (rows) => isShown && setFound(rows),
      (error) => isShown && setFound(wordsOf(error)),
    );
    return () => {
      isShown = false;
    };
  }, [proof, keys]);
  const name = fileNameOf(proof.key);
  const save = () =>
    saveFile(`proof-${name}.json`, new Blob([JSON.stringify(proof, null, 2)], { type: 'application/json' }));
  const saveKeys = () => saveFile('keys.json', new Blob([JSON.stringify(keys, null, 2)], { type: 'application/json' }));
  return (
    <>
      <div aria-live="polite">
        {found === undefined ? (
          <p class="waiting" aria-busy="true">
            Checking the proof
          </p>
        ) : typeof found === 'string' ? (
          <article class="outcome bad">
            <p>
              <strong>The proof is not checked.</strong> {found}
            </p>
          </article>
        ) : (
          found.map((row) => <RowOfProof key={row.log} row={row} {...(entry === undefined ? {} : { entry })} />)
        )}
        {proof.missing.map(({ log, reason }) => (
          <p key={log}>
            No proof of the {ROWS[log]} here: {REASONS[reason]}.
          </p>
        ))}
      </div>
      <details>
        <summary>Check it without this page</summary>
        <p>
          Download both files, take <code>verify.mjs</code> from a bundle of the books or from the product's source, and
          run:
        </p>
        <pre>
          <code>{`node verify.mjs --proof proof-${name}.json --keys keys.json`}</code>
        </pre>
        <p>The keys are those that this server publishes. Whoever has kept them from before gives their own.</p>
      </details>
      <p class="buttons">
        <button type="button" class="outline" onClick={save}>
          Download the proof
        </button>
        <button type="button" class="outline" onClick={saveKeys}>
          Download the keys
        </button>
      </p>
    </>
  );
}

function wordsOf(error: unknown): string {
  return error instanceof Unreadable ? error.message : `Something in it has another form: ${String(error)}`;
}

function RowOfProof({ row, entry }: { readonly row: CheckedRow; readonly entry?: Entry }) {
  const { timeZone } = useCompany();
  if (row.state === 'fault')
    return (
      <article class="outcome bad">
        <p>
          <strong>The {ROWS[row.log]} is not proved:</strong> {FAULTS[row.fault]} (<code>{row.fault}</code>). Do not
          rely on it, and tell an auditor.
        </p>
      </article>
    );
  const { content, head, keyId } = row;
  const published = `head ${head.position} of ${instantText(head.publishedAt, timeZone)}`;
  const differs = row.log === 'journal' && entry !== undefined && !isEntry(content, entry);
  return (
    <article class={`outcome ${row.state === 'proved' && !differs ? 'good' : row.state === 'proved' ? 'bad' : 'wait'}`}>
      <p>
        <strong>
          {row.state === 'proved'
            ? `The ${ROWS[row.log]} is in the books as it was sealed.`
            : 'All but the signature is checked.'}
        </strong>{' '}
        {row.state === 'proved'
          ? `This browser has computed its digest, the path from it to the root of ${published}, and the signature of that head.`
          : `The digest of the ${ROWS[row.log]} leads to the root of ${published}. This browser knows no Ed25519, so that the signature of the head is not checked here: verify.mjs checks it, see below.`}
      </p>
      <p>{contentInWords(content)}</p>
      {differs ? <p>What is shown above is not what was sealed. Tell an auditor.</p> : null}
      <p>
        Signed by the key <code>{keyId}</code>
        {row.state === 'proved' ? (
          <>
            {' '}
            (<code>{row.key}</code>)
          </>
        ) : null}
        .
      </p>
    </article>
  );
}

/** Whether the page shows what was sealed. Texts are sealed as salted digests, which only an auditor can compare. */
function isEntry(content: Content | undefined, { id, date, lines }: Entry): boolean {
  const told = lines.map(({ accountCode, amount, currency }) => `${accountCode} ${amount} ${currency}`);
  const sealed = (content?.lines ?? []).map(
    ({ accountCode, amount, currency }) => `${accountCode} ${amount} ${currency}`,
  );
  return content?.entryId === id && content.date === date && told.join() === sealed.join();
}

function contentInWords(content: Content | undefined): string {
  if (content === undefined) return '';
  if (content.log !== 'journal')
    return `Audit row ${content.id} of ${content.timestamp}: ${content.operation}, ${content.status}${content.errorCode ? `, ${content.errorCode}` : ''}.`;
  const lines = (content.lines ?? []).map(
    ({ accountCode, amount, currency }) => `${accountCode} ${moneyText(amount, currency)} ${currency}`,
  );
  return `Sealed: entry of ${content.date}, ${content.operation}, posted ${content.postedAt}: ${lines.join('; ')}.`;
}

const ROWS = { journal: 'entry', audit: 'row of the audit log' } as const;

const REASONS: Readonly<Record<WriteProof['missing'][number]['reason'], string>> = {
  archived: 'its month of the audit log is in the archive',
  erased: 'it came back from the archive after a person was erased',
  not_permitted: 'you may read the write, but not its entry',
  absent: 'it is gone from the books; operators have been told',
  altered: 'it is not what was sealed; operators have been told',
};

const FAULTS: Readonly<Record<Fault, string>> = {
  'row-altered': 'it is not what was sealed',
  'row-foreign': 'it is of another company, log or write',
  'entry-unbalanced': 'its lines do not add up to zero in each currency',
  'head-altered': 'the published head does not fit it',
  'head-signature': 'the published head is not signed by a known key',
  'head-time-stamp': 'the time stamp of the published head is of something else',
};
