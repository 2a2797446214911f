/** `npm run start:dev`: the same as `npm start`, with API and worker started anew when their source changes. */
import { command, run } from '../cli/command.ts';
import { launch } from './launcher.ts';

await run(
  command(
    'start:dev',
    'Starts the whole system as npm start does, and API and worker anew whenever their source changes.',
  )
    .addHelpText(
      'after',
      '\nWatches workflows, activities, worker and api. Requests under way are finished first; PostgreSQL and Temporal go on.\nA new migration is applied at the next start.',
    )
    .action(() => launch({ reload: true })),
);
