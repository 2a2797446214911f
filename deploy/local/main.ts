/**
 * `npm start`: the whole system on one machine, with a demo company. PostgreSQL and Temporal (unless they are provided),
 * migrations, API and worker, demo data; all of it watched over until Ctrl-C, which drains and stops it.
 */
import { launch } from './launcher.ts';

await launch({ reload: false });
