import type { WriteFacts } from './facts.ts';

/** A write takes milliseconds; one that runs for longer than this meets something again and again. */
const LONG_MS = 60_000;

/** What to do next, most important first. Each line stands alone. */
export function adviseOn(facts: WriteFacts, now: number): string[] {
  return [...byState(facts, now), ...onEvent(facts), ...onConflicts(facts), ...onTemporal(facts)];
}

function byState(facts: WriteFacts, now: number): string[] {
  const { state } = facts;
  switch (state) {
    case 'succeeded':
      return ['It is committed. Nothing is to be done: the same request with the same key gets the stored answer.'];
    case 'rejected':
      return [
        `It was refused for good (${facts.row?.errorCode}). The same key gets the same refusal for ever; when the cause is gone, the client sends it with a new key.`,
      ];
    case 'cancelled':
      return ['The key was cancelled before its write happened, and it never will. If it is still wanted: a new key.'];
    case 'running':
      return whileRunning(facts, now);
    case 'travelling':
      return [
        'It travels in a group that is open, and has its row within seconds. Look again; if it stays so, see WritesStuck in docs/runbooks.md.',
      ];
    case 'failed':
      return [
        `The run failed and left nothing${endOf(facts)}. Find the error by its request ID in the logs, mend the cause, and let the client send the same key again.`,
      ];
    case 'unknown':
      return [
        `The run ended without proof of its outcome${endOf(facts)}, and no row is there. The client sends the same key again: the row decides, and nothing happens twice. Do not use a new key.`,
      ];
    case 'write_record_missing':
      return [
        'Temporal says that it is done, and its row is gone: the database was restored to an earlier time, or failed over to a standby that lagged. Each request with the key is answered 500 write_record_missing.',
        'Compare the input of the workflow with the books (see WriteRecordMissing in docs/runbooks.md). If the write is not in them and is still wanted: npm run write -- reopen, then let the client send the same key again.',
      ];
    case 'reopened':
      return [`It was reopened${endOf(facts)}. The same key may be sent again, and has not been yet.`];
    case 'never_seen':
      return [
        'Nothing is known of this key in this company: no row, no run, no audit row. Check the company, the spelling and the case. Sending it is safe; cancelling it makes sure that it never happens.',
      ];
    case 'unclear':
      return [
        'There is no row, and Temporal cannot be asked whether it runs. Look again when Temporal is back; the client may send the same key again meanwhile.',
      ];
  }
}

function whileRunning({ run }: WriteFacts, now: number): string[] {
  if (run === null) throw new Error('Bug! A running write without a run');
  const age = now - Date.parse(run.startedAt);
  const since = `It has run for ${Math.max(0, Math.round(age / 1_000))} s`;
  const attempts = run.failedAttempts === 0 ? '' : `, and ${run.failedAttempts} attempts have failed and left nothing`;
  if (age < LONG_MS) return [`${since}${attempts}. Look again in a moment.`];
  return [
    `${since}${attempts}. Its transaction is attempted again and again, for 24 hours at most: the worker's log says why. See WritesStuck in docs/runbooks.md.`,
    'Ending the run in Temporal is safe: the client’s retry starts another. To make sure that it never happens, cancel the key: POST /api/writes/{key}/cancel.',
  ];
}

function onEvent({ event }: WriteFacts): string[] {
  if (event?.delivery !== 'given_up') return [];
  return [
    `Its webhook call was given up after ${event.attempts} attempts (${event.lastError ?? 'no error kept'}). When the receiver is well: POST /api/events/${event.id}/redeliver.`,
  ];
}

function onConflicts({ audit }: WriteFacts): string[] {
  const conflicts = audit.filter(({ errorCode }) => errorCode === 'idempotency_key_reused').length;
  if (conflicts === 0) return [];
  return [
    `Refused under this key for other content (422 idempotency_key_reused): ${conflicts}. Some client makes its keys badly.`,
  ];
}

/** With a row there is nothing that Temporal could change about it. */
function onTemporal({ temporalAway, row }: WriteFacts): string[] {
  return temporalAway === null || row === null
    ? []
    : ['Temporal cannot be asked just now. The row is the record: the answer above stands.'];
}

function endOf({ run }: WriteFacts): string {
  return run?.end == null ? '' : `: ${run.end}`;
}
