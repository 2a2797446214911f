import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { companiesFor } from '../../deploy/contract/check.ts';
import type { Subject } from '../../deploy/contract/subject.ts';
import type { System } from './system.ts';
import { signToken } from './tokens.ts';

/** The system of a test as the contract checks take it; by default with companies enough for every operation. */
export async function contractSubject(system: System, companies = companiesFor(OPERATIONS)): Promise<Subject> {
  const { owner, url } = system;
  const sign: Subject['sign'] = ({ subject, companyId, ttlSeconds }) =>
    signToken({ userId: subject, companyId }, ttlSeconds === undefined ? {} : { ttlSeconds });
  const tenants = [];
  for (let index = 0; index < companies; index += 1) {
    const { rows } = await owner.query(
      `SELECT company_id AS "companyId", user_id AS "userId" FROM create_company('Checked Ltd', $1, 'USD')`,
      [`${randomUUID()}@example.test`],
    );
    const [{ companyId, userId }] = rows as [{ companyId: string; userId: string }];
    tenants.push({ companyId, token: await sign({ subject: userId, companyId }) });
  }
  return {
    url,
    databaseUrl: owner.options.connectionString ?? '',
    tenants,
    auditorId: await createUser(owner),
    newcomerId: await createUser(owner),
    sign,
  };
}

async function createUser(owner: pg.Pool): Promise<string> {
  const { rows } = await owner.query('SELECT create_user($1) AS id', [`${randomUUID()}@example.test`]);
  return (rows as [{ id: string }])[0].id;
}
