import { NO_COMPANY, type SecurityEvent, type SecurityRow } from '../../activities/security/security-row.ts';
import { sourceOf } from '../http/client-address.ts';

/** Something that the security log is told of. */
export type Observed = {
  readonly event: SecurityEvent;
  readonly reason: string;
  readonly companyId?: string | undefined;
  readonly userId?: string | undefined;
  /** Of a verified token; told where the user is not known. */
  readonly subject?: string | undefined;
  /** Empty where the connection is gone. */
  readonly address: string;
  readonly action: string;
  readonly requestId: string;
  /** IDs alone. */
  readonly details?: Readonly<Record<string, unknown>>;
};

type Row = Omit<SecurityRow, 'age_ms'>;

const WINDOW_MS = 60_000;
/** In full, per minute; what comes beyond is counted. */
const FULL_REFUSALS = 5;
const FULL_READS = 50;
const READS: ReadonlySet<SecurityEvent> = new Set(['payroll_read', 'personal_data_read', 'secret_shown']);
/** Of more kinds than this in a minute, the rest is counted by event and company, and beyond twice as many, by event. */
const MAX_KINDS = 5_000;

type Kind = { seen: number; counted: number; last: Row };

/**
 * Lets the first few rows of a kind in each minute pass in full, and makes one row with their number of all others. A kind
 * is an event with its reason, of one company, user and source; a read is told apart by what is read, too. So neither a flood
 * from one address nor one from many fills the log.
 */
export function createFloodBound(emit: (row: Row) => void, now = () => performance.now()) {
  let kinds = new Map<string, Kind>();
  let beganAt = now();

  function end(): void {
    const countedForMs = now() - beganAt;
    for (const { counted, last } of kinds.values()) {
      if (counted === 0) continue;
      const kept = counted === 1 ? {} : { request_id: null, count: counted, counted_for_ms: countedForMs, details: {} };
      emit({ ...last, ...kept });
    }
    kinds = new Map();
    beganAt = now();
  }

  function tick(): void {
    if (now() - beganAt >= WINDOW_MS) end();
  }

  return {
    observe(observed: Observed): void {
      tick();
      const row = rowOf(observed);
      const { key, of, full } = kindOf(observed, row, kinds);
      const known = kinds.get(key);
      const kind = known ?? { seen: 0, counted: 0, last: of };
      if (known === undefined) kinds.set(key, kind);
      kind.seen += 1;
      if (kind.seen <= full) {
        emit(row);
        return;
      }
      kind.counted += 1;
      kind.last = of;
    },
    /** Ends the minute when it is over; called once a second, so that counts are written without further requests. */
    tick,
    end,
  };
}

function kindOf(
  observed: Observed,
  row: Row,
  kinds: ReadonlyMap<string, Kind>,
): { key: string; of: Row; full: number } {
  const isRead = READS.has(observed.event);
  const source = sourceOf(observed.address);
  const key = JSON.stringify([
    ...[row.event, row.reason, row.company_id, row.user_id, row.subject, source],
    isRead ? row.action : '',
  ]);
  if (kinds.has(key) || kinds.size < MAX_KINDS) return { key, of: row, full: isRead ? FULL_READS : FULL_REFUSALS };
  const company = kinds.size < 2 * MAX_KINDS ? row.company_id : NO_COMPANY;
  const of = {
    ...row,
    reason: 'many',
    company_id: company,
    user_id: null,
    subject: null,
    ip: null,
    action: null,
    details: {},
  };
  return { key: JSON.stringify([row.event, company]), of, full: 0 };
}

/** Null where nothing is left. */
function textOf(text = ''): string | null {
  return (
    text
      .slice(0, 255)
      .replaceAll('\0', '')
      .replaceAll(/[\uD800-\uDFFF]/g, '') || null
  );
}

/** No text of a client's gets in at any length, or with what PostgreSQL cannot hold. */
export function rowOf(observed: Observed): Row {
  const { event, reason, companyId, userId, subject, address, action, requestId, details = {} } = observed;
  return {
    event,
    reason: reason.slice(0, 64),
    company_id: companyId ?? NO_COMPANY,
    user_id: userId ?? null,
    subject: userId === undefined ? textOf(subject) : null,
    ip: address === '' ? null : address,
    action: action.replaceAll('\0', '').slice(0, 255),
    request_id: requestId.slice(0, 128),
    count: 1,
    counted_for_ms: null,
    details,
  };
}
