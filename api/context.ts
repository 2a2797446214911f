import type { Database } from '../activities/database.ts';
import type { Operation } from '../activities/operation.ts';
import type { WriteActivityDependencies } from '../activities/write/write-dependencies.ts';
import type { BatchStarts } from '../worker/batches/batch-starts.ts';
import type { ProcessFence } from '../worker/fence.ts';
import type { Metrics } from '../worker/metrics.ts';
import type { WriteArguments } from '../workflows/messages.ts';
import type { UploadLimits } from './batches/limits.ts';
import type { UploadLimit } from './batches/upload-limit.ts';
import type { ApiConfig } from './config.ts';
import type { RateLimit } from './http/rate-limit.ts';
import type { WaitLimit } from './http/wait-limit.ts';
import type { Cursors } from './reads/cursor.ts';
import type { SecurityLog } from './security/security-log.ts';
import type { Lookups } from './submit/lookups.ts';
import type { Submit } from './submit/submit.ts';
import type { WriteRuns } from './submit/write-runs.ts';
import type { AuditBatch } from './writes/audit-batch.ts';
import type { TemporalUi } from './writes/resource.ts';

/** What the routes share. `startApi` makes it once. */
export type ApiContext = {
  readonly config: ApiConfig;
  readonly database: Database;
  readonly fence: ProcessFence;
  readonly operations: readonly Operation[];
  readonly runs: WriteRuns;
  readonly lookups: Lookups;
  readonly submit: Submit;
  /** Tells of an outcome that a request makes without the run of its write. */
  readonly reports: Pick<WriteActivityDependencies, 'onOutcome'>;
  /** Has the run of a write that waits for its approval look at what was decided. Throws TemporalUnavailable. */
  readonly wake: (args: WriteArguments) => Promise<void>;
  readonly batches: BatchStarts;
  readonly uploadLimits: UploadLimits;
  readonly metrics: Metrics;
  readonly ui: TemporalUi;
  readonly cursors: Cursors;
  readonly audit: AuditBatch;
  readonly security: SecurityLog;
  readonly newWrites: RateLimit;
  /** For replays and reads, whose limit is far higher than that for new writes. */
  readonly replays: RateLimit;
  /** For calls of webhooks that a client asks for, each of which takes seconds and a host name to resolve. */
  readonly webhookTests: RateLimit;
  /** Each asks the database again and again until the wait is over: that for a write once a second, that for a batch twice. */
  readonly statusWaits: WaitLimit;
  readonly uploads: UploadLimit;
};
