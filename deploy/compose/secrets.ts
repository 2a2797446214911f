/** `npm run --silent compose:secrets`: creates the secrets of compose.yaml that are missing. */
import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { command, run } from '../cli/command.ts';
import { keptSecret, writePrivately } from '../cli/secrets.ts';
import { APP_DATABASE, POSTGRES_HOST } from './names.ts';

const RANDOM = [
  'SUPERUSER_PASSWORD',
  'OWNER_PASSWORD',
  'LOGIN_PASSWORD',
  'RELAY_LOGIN_PASSWORD',
  'MAINTENANCE_LOGIN_PASSWORD',
  'SEALER_LOGIN_PASSWORD',
  'AUDITOR_LOGIN_PASSWORD',
  'ERASER_LOGIN_PASSWORD',
  'SCHEDULED_AUDITOR_LOGIN_PASSWORD',
  'TEMPORAL_PASSWORD',
  'JWT_SECRET',
  'WEBHOOK_MASTER_KEY',
  'PAYLOAD_KEY',
  'SEAL_KEY',
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
  const url = (login: string, password: (typeof RANDOM)[number]) =>
    `postgres://${login}:${secrets[password]}@${POSTGRES_HOST}/${APP_DATABASE}\n`;
  const derived = {
    DATABASE_URL: url('accubooks_login', 'LOGIN_PASSWORD'),
    RELAY_DATABASE_URL: url('accubooks_relay_login', 'RELAY_LOGIN_PASSWORD'),
    MAINTENANCE_DATABASE_URL: url('accubooks_maintenance_login', 'MAINTENANCE_LOGIN_PASSWORD'),
    SEALER_DATABASE_URL: url('accubooks_sealer_login', 'SEALER_LOGIN_PASSWORD'),
    AUDITOR_DATABASE_URL: url('accubooks_scheduled_auditor_login', 'SCHEDULED_AUDITOR_LOGIN_PASSWORD'),
    'temporal.env': `POSTGRES_PWD=${secrets['TEMPORAL_PASSWORD']}\n`,
  };
  // Always: an earlier release gave several logins one password.
  for (const [name, text] of Object.entries(derived)) writePrivately(join(folder, name), text);
  // Once: a key that was added by hand must not be lost, since what it encrypted could not be read any more.
  const kept = { PAYLOAD_KEYS: 'PAYLOAD_KEY', SEAL_SIGNING_KEY: 'SEAL_KEY' };
  for (const [name, of] of Object.entries(kept)) {
    if (!existsSync(join(folder, name))) writePrivately(join(folder, name), `compose:${secrets[of]}\n`);
  }
  for (const name of [...RANDOM, ...Object.keys(derived), ...Object.keys(kept)]) chmodSync(join(folder, name), 0o644);
  return folder;
}
