import type { WriteResource } from './resource.ts';

/**
 * A write without anything that people have typed: what was asked for and answered, and the comments of those who have decided
 * about it, which may repeat the one or the other.
 */
export function withoutBodies(write: WriteResource): WriteResource {
  const { approvals, timeline } = write;
  return {
    ...write,
    response: null,
    document: null,
    ...('request' in write ? { request: null } : {}),
    ...(approvals === undefined ? {} : { approvals: approvals.map((decision) => ({ ...decision, comment: null })) }),
    timeline: timeline.map(({ detail, ...item }) =>
      detail === undefined || DECISIONS.has(item.kind) ? item : { ...item, detail },
    ),
  };
}

const DECISIONS: ReadonlySet<WriteResource['timeline'][number]['kind']> = new Set(['approved', 'disapproved']);
