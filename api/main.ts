import { runApiProcess } from './process.ts';

runApiProcess({ instrumentation: true });
