/**
 * `npm run dashboards` generates the dashboards as Grafana JSON; with `-- --check` it compares instead, and exits 1 if a file
 * is out of date.
 */
import { join } from 'node:path';
import { keepGenerated } from '../cli/generated.ts';
import { DASHBOARDS } from './dashboards.ts';
import { toGrafana } from './panels.ts';

const files = DASHBOARDS.map((dashboard) => ({
  path: join('deploy/grafana', `${dashboard.uid.replace('accubooks-', '')}.json`),
  text: `${JSON.stringify(toGrafana(dashboard), null, 2)}\n`,
}));

keepGenerated(files, { command: 'npm run dashboards', check: process.argv.includes('--check') });
