import type { SecurityEvent } from '../../activities/security/security-row.ts';
import { PAYROLL_OPERATIONS } from './payroll-entries.ts';
import type { Read } from './read.ts';

/** The event by which the security log tells of a read, or undefined for what is not confidential. */
export function eventOfRead({ shows }: Pick<Read, 'shows'>, answer: object): SecurityEvent | undefined {
  if (shows === undefined) return undefined;
  if (shows !== 'entries') return eventOf(shows);
  return showsPayroll(answer) ? 'payroll_read' : undefined;
}

export function eventOf(shows: 'payroll' | 'personal data'): SecurityEvent {
  return shows === 'payroll' ? 'payroll_read' : 'personal_data_read';
}

/** Whether entries, or lines of them, are among the answer that show what somebody is paid. */
function showsPayroll(answer: object): boolean {
  const { items = [answer] } = answer as { items?: readonly object[] };
  return items.some((item) => {
    const { source } = item as { source?: { operation: string } };
    return source !== undefined && PAYROLL_OPERATIONS.includes(source.operation);
  });
}
