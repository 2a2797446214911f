/**
 * `npm start`: the whole system on one machine, with a demo company. Starts PostgreSQL and Temporal (unless provided), the
 * migrations, API, worker and demo data, and supervises them until Ctrl-C, which drains and stops everything.
 */
import { launch } from './launcher.ts';

await launch({ reload: false });
