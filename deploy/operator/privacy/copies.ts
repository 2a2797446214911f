import { DAY_S } from '../../../activities/durations.ts';
import { temporalTarget } from '../../cli/config.ts';
import { connectTarget } from '../setup-temporal.ts';

/** When the last copies in Temporal are gone; `unknown` says why that cannot be told. */
export type Copies = { readonly goneBy: string; readonly retentionDays: number } | { readonly unknown: string };

/**
 * A closed run stays for the retention of its namespace. All runs about the person have ended, since their writes are sealed; a
 * day more is for the server, which deletes them in its own time.
 */
export async function copiesInTemporal(): Promise<Copies> {
  try {
    const target = temporalTarget();
    const connection = await connectTarget(target);
    try {
      const described = await connection.workflowService.describeNamespace({ namespace: target.TEMPORAL_NAMESPACE });
      const seconds = Number(described.config?.workflowExecutionRetentionTtl?.seconds ?? 0);
      if (seconds <= 0) return { unknown: `The namespace ${target.TEMPORAL_NAMESPACE} does not tell its retention.` };
      const retentionDays = Math.ceil(seconds / DAY_S);
      // biome-ignore lint/plugin: a day that people are told
      const goneBy = new Date(Date.now() + (retentionDays + 1) * DAY_S * 1_000).toISOString().slice(0, 10);
      return { goneBy, retentionDays };
    } finally {
      await connection.close();
    }
  } catch (error) {
    return { unknown: (error as Error).message };
  }
}
