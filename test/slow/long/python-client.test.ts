import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openThrowawayFolder, type ThrowawayFolder } from '../../../deploy/local/throwaway-folder.ts';
import { generateClient, resolvePython, runScript } from '../../support/python-client.ts';
import { type System, startSystem } from '../../support/system.ts';

/** The packages are fetched once; on a busy machine the generator takes a minute. */
const TIMEOUT_MS = 600_000;

describe('a Python client that is generated from the document', { timeout: TIMEOUT_MS }, () => {
  let system: System;
  let folder: ThrowawayFolder;
  beforeAll(async () => {
    folder = openThrowawayFolder();
    system = await startSystem();
  });
  afterAll(async () => {
    await system?.stop();
    folder?.remove();
  });

  test('lacks nothing but the route that takes a file, makes a payment once, and tells of a rejection', async ({
    skip,
  }) => {
    const found = await resolvePython();
    const python = 'python' in found ? found.python : skip(`there is no Python for it: ${found.missing}`);
    const documentUrl = `${system.url}/openapi.json`;
    const { modules, told } = await generateClient(python, { documentUrl, folder: folder.path });
    // Of each part that it cannot make something of, it warns, and leaves it out.
    expect(told.match(/(?:warning|error) parsing .*/gi)).toEqual([
      'WARNING parsing POST /api/batches within batches. Endpoint will not be generated.',
    ]);

    const { users } = await system.company();
    const environment = { ACCUBOOKS_URL: system.url, ACCUBOOKS_TOKEN: users.owner.token };
    expect(await runScript(python, { modules, environment })).toEqual({
      statuses: [201, 201, 422],
      replayed: [null, 'true'],
      same: true,
      problem: { code: 'payment_exceeds_outstanding', isToBeCorrected: true, pointers: ['/amount'] },
      listed: [[10_000, 'card']],
      write: 'succeeded',
    });
  });
});
