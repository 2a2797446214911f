/** `npm run start:dev`: like `npm start`, but restarts API and worker when their source changes. */
import { command, run } from '../cli/command.ts';
import { launch } from './launcher.ts';

await run(
  command(
    'start:dev',
    'Starts the whole system like npm start, and restarts API and worker whenever their source changes.',
  )
    .addHelpText(
      'after',
      '\nWatches workflows, activities, worker and api. Open requests are finished first; PostgreSQL and Temporal keep running.\nNew migrations are applied at the next start.',
    )
    .action(() => launch({ reload: true })),
);
