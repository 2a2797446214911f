import { pino } from 'pino';
import { installRuntime } from '../../worker/temporal.ts';
import { keepWorkflowThreads } from './kept-threads.ts';

// Temporal's runtime belongs to the process, which many files share: one a process, and silent.
const INSTALLED = Symbol.for('accubooks.quiet-runtime');
if (!(INSTALLED in globalThis)) {
  Object.assign(globalThis, { [INSTALLED]: true });
  installRuntime(pino({ level: 'silent' }), undefined);
  keepWorkflowThreads();
}
