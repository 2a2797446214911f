import { type Pool, queryOnce } from '../../activities/database.ts';

/**
 * Notes that members have used their company: from then on it sees their e-mail addresses. Called after an answer, and
 * waits for nothing; a note that is lost comes again with a later request.
 */
export type MembersSeen = { note(companyId: string, userId: string): void };

/** A member whose access was ended and granted anew is noted again after this. */
const REMEMBERED_MS = 60_000;
const MAX_REMEMBERED = 10_000;

export function createMembersSeen(pool: Pool): MembersSeen {
  let noted = new Set<string>();
  let sinceMs = performance.now();
  return {
    note(companyId, userId) {
      if (performance.now() - sinceMs >= REMEMBERED_MS || noted.size >= MAX_REMEMBERED) {
        noted = new Set();
        sinceMs = performance.now();
      }
      const member = `${companyId}/${userId}`;
      if (noted.has(member)) return;
      noted.add(member);
      queryOnce(pool, 'SELECT mark_member_seen($1, $2)', [companyId, userId]).catch(() => noted.delete(member));
    },
  };
}
