import { isGroupWorkflowId } from '../../../workflows/messages.ts';
import type { WriteFacts } from './facts.ts';

/** A write takes milliseconds; one that runs for longer than this keeps failing for the same reason. */
const LONG_MS = 60_000;

/** What to do next, most important first; each line can be read on its own. */
export function adviseOn(facts: WriteFacts, now: number): string[] {
  return [...byState(facts, now), ...onEvent(facts), ...onConflicts(facts), ...onTemporal(facts)];
}

function byState(facts: WriteFacts, now: number): string[] {
  const { state } = facts;
  switch (state) {
    case 'succeeded':
      return ['It is committed. Nothing needs to be done: the same request with the same key gets the stored answer.'];
    case 'rejected':
      return [
        `It was rejected (${facts.row?.errorCode}), which is final: the same key always gets the same rejection. Once the cause is removed, the client sends it with a new key.`,
      ];
    case 'cancelled':
      return [
        'The key was cancelled before its write happened, and it never will. If the write is still wanted, use a new key.',
      ];
    case 'lost':
      return onLoss(facts);
    case 'running':
      return whileRunning(facts, now);
    case 'travelling':
      return [
        'It is in an open group and should have its row within seconds. Look again; if this does not change, see WritesStuck in docs/runbooks.md.',
      ];
    case 'in_batch':
      return whileInBatch(facts);
    case 'failed':
      return [
        `The run failed and left nothing${endOf(facts)}. Find the error in the logs by its request ID, fix the cause, and let the client send the same key again.`,
      ];
    case 'unknown':
      return [
        `The run ended without proof of its outcome${endOf(facts)}, and there is no row. Let the client send the same key again: the row decides, and nothing happens twice. Do not use a new key.`,
      ];
    case 'write_record_missing':
      return [
        'Its run is completed in Temporal, but its row is gone: the database was restored to an earlier time, or failed over to a standby that lagged. Every request with the key is answered 500 write_record_missing.',
        'Compare the input of the workflow with the books (see WriteRecordMissing in docs/runbooks.md). If the write is not in them and is still wanted: npm run write -- reopen, then let the client send the same key again.',
      ];
    case 'reopened':
      return [`It was reopened${reasonOf(facts)}. The same key may be sent again, but has not been sent yet.`];
    case 'never_seen':
      return [
        'This key is unknown in this company: no row, no run, no audit row. Check the company, the spelling and the case. Sending it is safe; cancelling it ensures that it never happens.',
      ];
    case 'unclear':
      return [
        'There is no row, and Temporal cannot be reached to see whether it is running. Look again when Temporal is back; the client may send the same key again meanwhile.',
      ];
  }
}

function whileInBatch({ batches }: WriteFacts): string[] {
  return batches
    .filter(({ outcome }) => outcome === 'pending')
    .map(
      ({ key, row, state }) =>
        `It is row ${row} of the batch ${key}, which is ${state} and has not written it yet. If it is to be written before, send it alone with this key: the batch then finds it made. If the batch does not go on, see BatchStuck in docs/runbooks.md.`,
    );
}

function onLoss({ row, write }: WriteFacts): string[] {
  const isInGroup = row?.workflowId != null && isGroupWorkflowId(row.workflowId);
  return [
    `A failover or a restore of the database has taken its record: Temporal had it in ${isInGroup ? 'a group' : 'its own run'}, ${row?.workflowId}, and at ${write?.completedAt} there was no row of it. Every request with the key is answered 500 write_record_missing.`,
    `It may have been answered as done. Look for it (${row?.request}) in the books, in the bank statement and at the customer: see DatabaseReplaced and WriteRecordMissing in docs/runbooks.md.`,
    'If it is still wanted: npm run write -- reopen, then let the client send the same key again. If it must no longer happen, cancel the key: POST /api/writes/{key}/cancel.',
  ];
}

function whileRunning({ run }: WriteFacts, now: number): string[] {
  if (run === null) throw new Error('Bug! A running write has no run');
  const age = now - Date.parse(run.startedAt);
  const since = `It has run for ${Math.max(0, Math.round(age / 1_000))} s`;
  const attempts = run.failedAttempts === 0 ? '' : `, and ${run.failedAttempts} attempts have failed and left nothing`;
  if (age < LONG_MS) return [`${since}${attempts}. Look again in a moment.`];
  return [
    `${since}${attempts}. Its transaction is retried for at most 24 hours; the worker's log says why it fails. See WritesStuck in docs/runbooks.md.`,
    'Terminating the run in Temporal is safe: the client’s retry starts another. To ensure that the write never happens, cancel the key: POST /api/writes/{key}/cancel.',
  ];
}

function onEvent({ event }: WriteFacts): string[] {
  if (event?.delivery !== 'given_up') return [];
  return [
    `Its webhook call was given up after ${event.attempts} attempts (${event.lastError ?? 'no error recorded'}). When the receiver works again: POST /api/events/${event.id}/redeliver.`,
  ];
}

function onConflicts({ audit }: WriteFacts): string[] {
  const conflicts = audit.filter(({ errorCode }) => errorCode === 'idempotency_key_reused').length;
  if (conflicts === 0) return [];
  return [
    `Requests refused because they reused this key with other content (422 idempotency_key_reused): ${conflicts}. A client generates its keys wrongly.`,
  ];
}

/** Only needed with a row, which Temporal cannot contradict; without one the state `unclear` says the same. */
function onTemporal({ temporalAway, row }: WriteFacts): string[] {
  return temporalAway === null || row === null
    ? []
    : ['Temporal cannot be reached. The answer above is still right, because the row is the record.'];
}

function reasonOf(facts: WriteFacts): string {
  const audited = facts.audit.findLast(({ isReopening }) => isReopening)?.errorMessage;
  return facts.run === null && audited != null ? ` (${audited})` : endOf(facts);
}

function endOf({ run }: WriteFacts): string {
  return run?.end == null ? '' : `: ${run.end}`;
}
