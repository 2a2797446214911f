/**
 * `npm start`: the whole system on one machine, with a demo company. Starts PostgreSQL and Temporal (unless provided), the
 * migrations, API, worker and demo data, and supervises them until Ctrl-C, which drains and stops everything.
 */
import { command, run } from '../cli/command.ts';

const AFTER_HELP = `
Ports: PORT (3000) is the API's, METRICS_PORT (9464) the worker's metrics'; if one that you set, or the API's, is in use, the
start ends and says so. PostgreSQL (5432), Temporal (7233), its UI (8233) and metrics without METRICS_PORT take the next free
port. The addresses are printed, and kept in local.json.

Everything is kept in DATA_DIR (.data): databases, secrets, logs, local.json. DATABASE_URL and TEMPORAL_ADDRESS name servers
of your own. All variables are in README.md, under Configuration.`;

await run(
  command(
    'start',
    'Starts the whole system on this machine: PostgreSQL, Temporal, API and worker, with a demo company. Ctrl-C stops all of it.',
  )
    .addHelpText('after', AFTER_HELP)
    // Imported only when needed: the help is there at once.
    .action(async () => (await import('./launcher.ts')).launch({ reload: false })),
);
