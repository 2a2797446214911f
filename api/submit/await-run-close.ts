import { TemporalUnavailable } from '../../worker/temporal-unavailable.ts';

/** How long polling goes on while Temporal does not answer. No request waits longer than that. */
const OUTAGE_LIMIT_MS = 70_000;
const OUTAGE_PAUSE_MS = 500;

/** Long-polls a run until it has closed, also through an outage; undefined once `isMoot` says that nobody needs its end. */
export async function awaitRunClose<End>(
  ask: () => Promise<End | 'still open'>,
  isMoot: () => boolean,
): Promise<End | undefined> {
  let silentSince: number | undefined;
  while (!isMoot()) {
    try {
      const end = await ask();
      if (end !== 'still open') return end;
      silentSince = undefined;
    } catch (error) {
      if (!(error instanceof TemporalUnavailable) || isMoot()) throw error;
      silentSince ??= performance.now();
      if (performance.now() - silentSince > OUTAGE_LIMIT_MS) throw error;
      await new Promise((resolve) => setTimeout(resolve, OUTAGE_PAUSE_MS));
    }
  }
  return undefined;
}
