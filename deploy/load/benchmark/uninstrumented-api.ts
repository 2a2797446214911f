import { runApiProcess } from '../../../api/process.ts';

/** An API without any metrics. Only the benchmark that measures what they cost runs it: no one can look into such a process. */
runApiProcess({ instrumentation: false });
