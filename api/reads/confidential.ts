import type { SecurityEvent } from '../../activities/security/security-row.ts';
import { PAYROLL_OPERATIONS } from './payroll-entries.ts';
import type { Read } from './read.ts';

/** The events by which the security log tells of a read: none for what is not confidential. */
export function eventsOfRead(
  { shows, showsIn }: Pick<Read, 'shows' | 'showsIn'>,
  answer: object,
): readonly SecurityEvent[] {
  const shown = showsIn?.(answer) ?? [shows === 'entries' ? payrollIn(answer) : shows];
  return [...new Set(shown.flatMap((one) => (one === undefined ? [] : [eventOf(one)])))];
}

export function eventOf(shows: 'payroll' | 'personal data'): SecurityEvent {
  return shows === 'payroll' ? 'payroll_read' : 'personal_data_read';
}

/** Where entries, or lines of them, are among the answer that show what somebody is paid. */
function payrollIn(answer: object): 'payroll' | undefined {
  const { items = [answer] } = answer as { items?: readonly object[] };
  const isPaid = items.some((item) => {
    const { source } = item as { source?: { operation: string } };
    return source !== undefined && PAYROLL_OPERATIONS.includes(source.operation);
  });
  return isPaid ? 'payroll' : undefined;
}
