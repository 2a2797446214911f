/** `npm run --silent compose:secrets`: creates the secrets of compose.yaml that are missing. */
import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { command, run } from '../cli/command.ts';
import { keptSecret, randomSecret, writePrivately } from '../cli/secrets.ts';
import { APP_DATABASE, POSTGRES_HOST } from './names.ts';

const RANDOM = [
  'SUPERUSER_PASSWORD',
  'OWNER_PASSWORD',
  'LOGIN_PASSWORD',
  'TEMPORAL_PASSWORD',
  'JWT_SECRET',
  'WEBHOOK_MASTER_KEY',
  'METRICS_TOKEN',
  'GRAFANA_PASSWORD',
] as const;

await run(
  command('compose:secrets', 'Creates the missing secrets of deploy/compose.yaml and prints their folder.')
    .option('--folder <path>', 'the folder of the secrets', join(import.meta.dirname, 'secrets'))
    .action(({ folder }: { folder: string }) => console.log(makeSecrets(folder))),
);

function makeSecrets(folder: string): string {
  // Containers read the files as other users, so the files are world-readable and the folder is private.
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const secrets = Object.fromEntries(RANDOM.map((name) => [name, keptSecret(join(folder, name))]));
  const url = (login: string) => `postgres://${login}:${secrets['LOGIN_PASSWORD']}@${POSTGRES_HOST}/${APP_DATABASE}\n`;
  const derived = {
    DATABASE_URL: url('accubooks_login'),
    RELAY_DATABASE_URL: url('accubooks_relay_login'),
    PAYLOAD_KEYS: `compose:${randomSecret()}\n`,
    'temporal.env': `POSTGRES_PWD=${secrets['TEMPORAL_PASSWORD']}\n`,
  };
  for (const [name, text] of Object.entries(derived)) {
    if (!existsSync(join(folder, name))) writePrivately(join(folder, name), text);
  }
  for (const name of [...RANDOM, ...Object.keys(derived)]) chmodSync(join(folder, name), 0o644);
  return folder;
}
