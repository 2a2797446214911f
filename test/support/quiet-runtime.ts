import { pino } from 'pino';
import { installRuntime } from '../../worker/temporal.ts';

// Temporal's runtime belongs to the process, not to a system: one a file, and silent.
installRuntime(pino({ level: 'silent' }), undefined);
