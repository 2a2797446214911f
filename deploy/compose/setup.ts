/**
 * `node deploy/compose/setup.js FOLDER [HOST:PORT]`: prepares database and Temporal for the services of compose.yaml. FOLDER
 * has the passwords of the superuser, the owner and each of the other logins. Running it again changes nothing.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporalTarget } from '../cli/config.ts';
import { createAppDatabase } from '../local/database.ts';
import { connectTarget, setupTemporal } from '../operator/setup-temporal.ts';
import { APP_DATABASE, POSTGRES_HOST } from './names.ts';

const [, , folder, host = POSTGRES_HOST] = process.argv;
if (folder === undefined) throw new Error('Give the folder with the passwords: node deploy/compose/setup.js FOLDER');
const secret = (name: string) => readFileSync(join(folder, name), 'utf8').trim();

await createAppDatabase({
  superuserUrl: `postgres://postgres:${secret('SUPERUSER_PASSWORD')}@${host}/postgres`,
  database: APP_DATABASE,
  passwords: {
    owner: secret('OWNER_PASSWORD'),
    app: secret('LOGIN_PASSWORD'),
    relay: secret('RELAY_LOGIN_PASSWORD'),
    maintenance: secret('MAINTENANCE_LOGIN_PASSWORD'),
    sealer: secret('SEALER_LOGIN_PASSWORD'),
    auditor: secret('AUDITOR_LOGIN_PASSWORD'),
    eraser: secret('ERASER_LOGIN_PASSWORD'),
    scheduledAuditor: secret('SCHEDULED_AUDITOR_LOGIN_PASSWORD'),
  },
  log: (line) => console.log(line),
});
const target = temporalTarget();
const connection = await connectTarget(target);
try {
  console.log(JSON.stringify(await setupTemporal(connection, target.TEMPORAL_NAMESPACE)));
} finally {
  await connection.close();
}
