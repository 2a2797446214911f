import { channel } from 'node:diagnostics_channel';

/**
 * The points at which a test ends a real process with SIGKILL, and the defect that such an end would show there. They are
 * messages on a diagnostics channel that nobody but a test listens to, so a point costs the read of a property.
 */
export const CRASH_POINTS = {
  'start: before': 'a write that somebody was promised, and that nobody has',
  'start: taken': 'a write that Temporal has taken, and that nobody finishes',
  'transaction: before COMMIT': 'a part of a write without the rest of it',
  'transaction: after COMMIT': 'a write that is made again, because its run never heard of its COMMIT',
  'outcome: handed over': 'a second outcome, by the worker that takes the run over',
  'group: before its start': 'writes that somebody was promised, and that nobody has',
  'group: taken': 'a group whose writes nobody finishes',
  'set: before COMMIT': 'some writes of a set without the others, or invoice amounts without their payments',
  'set: after COMMIT': 'writes that are made again one by one',
  'answer: before': 'a retry that gets another answer than the one that was not sent',
  'audit: before': 'a replay that was answered and has no audit row',
  'audit: written': 'an answer that differs, because its audit row is there already',
  'relay: workflow started': 'a triggered workflow that runs twice, or an event without its number',
  'relay: batch started': 'an event that is never delivered, or a second workflow for its batch',
  'delivery: called': 'an event that is taken for delivered or for failed, although nobody recorded either',
  'seal: before COMMIT': 'a row that is sealed twice, or never',
  'archive: exported':
    'a month that is neither in the database nor in the archive, or that cannot be archived any more',
  'upload: chunk stored': 'a batch with a part of its file, or the chunks of two uploads',
  'upload: batch queued': 'a batch that nobody starts, or an upload whose repetition is another batch',
  'chunk: claimed': 'rows that nobody writes, because a process that is gone has claimed them',
  'chunk: group started': 'rows that are written twice, or whose outcome is never recorded',
  'chunk: approval asked for': 'a write that waits for its approval, and that no batch knows of',
  'chunk: outcomes found': 'rows that are told as replays of a stranger, or whose replay is recorded twice',
  'chunk: recorded': 'rows that are counted twice',
} as const;

export type CrashPoint = keyof typeof CRASH_POINTS;

export const CRASH_CHANNEL = 'accubooks:crash-point';

const reached = channel(CRASH_CHANNEL);

export function crashPoint(point: CrashPoint): void {
  if (reached.hasSubscribers) reached.publish(point);
}
