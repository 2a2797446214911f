import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findDestination } from '../../deploy/cli/destination.ts';
import { signToken } from '../support/tokens.ts';

const ACME = 'b1d5a4ba-7c5b-4f3e-9d1a-0c6f2c1b8e11';
const GLOBEX = 'b1d5a4ba-7c5b-4f3e-9d1a-0c6f2c1b8e12';
const userId = 'b1d5a4ba-7c5b-4f3e-9d1a-0c6f2c1b8e13';

describe('the token of a file that takes longer to send than a token lives', () => {
  let folder: string;
  let tokenFile: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'accubooks-destination-'));
    tokenFile = join(folder, 'token');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const save = async (companyId: string, ttlSeconds: number) => {
    const token = await signToken({ userId, companyId }, { ttlSeconds });
    writeFileSync(tokenFile, `${token}\n`);
    return token;
  };

  test('is read again once the service has refused it', async () => {
    const first = await save(ACME, 1_000);
    const { token, target } = await findDestination({ url: 'http://127.0.0.1:1/', tokenFile });
    expect([await token.get(), target]).toEqual([first, `http://127.0.0.1:1 ${ACME}`]);
    const second = await save(ACME, 2_000);
    expect(await token.get()).toBe(first);
    token.refuse(first);
    expect(await token.get()).toBe(second);
  });

  test('is not taken from another company, to which the rest of the file would go', async () => {
    const first = await save(ACME, 1_000);
    const { token } = await findDestination({ url: 'http://127.0.0.1:1', tokenFile });
    await token.get();
    await save(GLOBEX, 2_000);
    token.refuse(first);
    await expect(token.get()).rejects.toThrow('The new token is of another company.');
  });
});
