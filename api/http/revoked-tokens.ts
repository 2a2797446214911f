import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { asApplication } from '../../activities/as-application.ts';
import type { Pool } from '../../activities/database.ts';

/** The tokens that an operator has revoked (`token:revoke`), by their ID (`jti`). */
export type RevokedTokens = {
  has(tokenId: string): boolean;
  /** Reads the list again. Never throws: while the database is away, the list of before holds. */
  refresh(): Promise<void>;
  close(): void;
};

/** A revoked token works for so long at most. */
const REFRESHED_EVERY_MS = 5_000;

/** Reads the list, and again every five seconds. Throws where it cannot be read at first. */
export async function watchRevokedTokens(pool: Pool, logger: Pick<Logger, 'warn'>): Promise<RevokedTokens> {
  const stopped = new AbortController();
  let revoked = await readRevoked(pool);
  async function refresh(): Promise<void> {
    try {
      revoked = await readRevoked(pool);
    } catch (error) {
      logger.warn({ err: error }, 'The list of revoked tokens cannot be read');
    }
  }
  async function keepFresh(): Promise<void> {
    while (!stopped.signal.aborted) {
      await sleep(REFRESHED_EVERY_MS, undefined, { ref: false, signal: stopped.signal }).catch(() => undefined);
      if (!stopped.signal.aborted) await refresh();
    }
  }
  void keepFresh();
  return { has: (tokenId) => revoked.has(tokenId), refresh, close: () => stopped.abort() };
}

async function readRevoked(pool: Pool): Promise<ReadonlySet<string>> {
  const rows = await asApplication(pool, (tx) => tx.query<{ token_id: string }>('SELECT token_id FROM revoked_tokens'));
  return new Set(rows.map(({ token_id: tokenId }) => tokenId));
}
