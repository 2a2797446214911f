import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { DEMO, DEMO_COMPANY_ID, DEMO_SEED, GLOBEX_COMPANY_ID, type SeedRequest } from '../../activities/demo.ts';
import { ROLES } from '../../activities/roles.ts';
import { refuseProduction } from '../cli/local-config.ts';

const DEMO_OWNER = 'owner@demo.test';
const CURRENCY = 'USD';
const SEED_REQUEST_TIMEOUT_MS = 60_000;
const RETRY_PAUSE_MS = 500;

/**
 * Creates the demo companies and their users by SQL, because no request is possible before there is a member. An existing
 * company is not changed, because its members may have been changed on purpose.
 */
export async function seedCompanies(databaseUrl: string): Promise<{ demoOwnerId: string; isNewDemo: boolean }> {
  refuseProduction();
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const isNewDemo = await seedCompany(client, {
      id: DEMO_COMPANY_ID,
      name: 'Demo Ltd',
      domain: 'demo.test',
      roles: ROLES,
    });
    await seedCompany(client, {
      id: GLOBEX_COMPANY_ID,
      name: 'Globex Ltd',
      domain: 'globex.test',
      roles: ['accountant'],
    });
    // The user who is granted access in an example.
    await client.query('INSERT INTO users (id, email) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
      DEMO.newcomerId,
      'newcomer@demo.test',
    ]);
    const { rows } = await client.query<{ id: string }>('SELECT create_user($1) AS id', [DEMO_OWNER]);
    return { demoOwnerId: (rows[0] as { id: string }).id, isNewDemo };
  } finally {
    await client.end();
  }
}

/** False if the company already exists. */
async function seedCompany(
  client: pg.Client,
  company: { id: string; name: string; domain: string; roles: readonly string[] },
): Promise<boolean> {
  await client.query('BEGIN');
  await client.query("SELECT set_config('app.company_id', $1, true)", [company.id]);
  const { rowCount } = await client.query('SELECT FROM companies WHERE id = $1', [company.id]);
  if (rowCount === 0) {
    const owner = `owner@${company.domain}`;
    await client.query(
      'SELECT create_company(p_name => $1, p_owner_email => $2, p_currency => $3, p_company_id => $4)',
      [company.name, owner, CURRENCY, company.id],
    );
    for (const role of company.roles.filter((name) => name !== 'owner')) {
      await client.query('INSERT INTO memberships (company_id, user_id, roles) VALUES ($1, create_user($2), $3)', [
        company.id,
        `${role}@${company.domain}`,
        [role],
      ]);
    }
  }
  await client.query('COMMIT');
  return rowCount === 0;
}

/** Seeds the demo's books through the API: each start sends the same requests under the same keys, so later ones are replays. */
export async function seedBooks(options: {
  apiUrl: string;
  token: string;
  log: (line: string) => void;
}): Promise<void> {
  refuseProduction();
  for (const request of DEMO_SEED) await send(request, options);
}

async function send(
  request: SeedRequest,
  { apiUrl, token, log }: { apiUrl: string; token: string; log: (line: string) => void },
): Promise<void> {
  const deadline = performance.now() + SEED_REQUEST_TIMEOUT_MS;
  for (;;) {
    const response = await fetch(apiUrl + request.path, {
      method: request.method,
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'idempotency-key': request.key,
      },
      body: JSON.stringify(request.body),
    });
    const text = await response.text();
    if (response.status === 200 || response.status === 201) return;

    const what = `${request.method} ${request.path} (key ${request.key})`;
    if (response.status === 202 || isRetryable(text)) {
      if (performance.now() > deadline)
        throw new Error(`The demo could not be seeded: ${what} is still answered ${response.status}`);
      await sleep(RETRY_PAUSE_MS);
      continue;
    }
    if (text.includes('"idempotency_key_reused"')) {
      log(`Keeping the demo data of an earlier release: ${what}`);
      return;
    }
    throw new Error(`The demo could not be seeded: ${what} was answered ${response.status} ${text}`);
  }
}

function isRetryable(text: string): boolean {
  try {
    return (JSON.parse(text) as { retryable?: boolean }).retryable === true;
  } catch {
    return false;
  }
}
