import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { projectFolder } from '../../deploy/cli/local-config.ts';
import { allowPrivateWebhooks, launcherConfig } from '../../deploy/local/config.ts';
import { ConfigError } from '../../worker/config.ts';

function problemsOf(environment: NodeJS.ProcessEnv): readonly string[] {
  try {
    launcherConfig(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('This configuration was taken');
}

test('an error of the configuration carries its problems, whatever characters are in them', () => {
  const problems = ['A: must be one of\n  these', 'B: must be set'];
  const error = new ConfigError(problems);
  expect(error.problems).toEqual(problems);
  expect(error.message).toBe('The configuration cannot be used:\n  A: must be one of\n  these\n  B: must be set');
});

test('the launcher tells each bad key once: its own, those of the API and those of the worker', () => {
  const problems = problemsOf({
    PORT: 'http',
    MAX_IN_FLIGHT_WRITES: 'many',
    RELAY_DATABASE_URL: 'mysql://db',
    WORKER_BUILD_ID: '1',
  });
  expect(problems.map((problem) => problem.slice(0, problem.indexOf(':'))).toSorted()).toEqual([
    'MAX_IN_FLIGHT_WRITES',
    'PORT',
    'RELAY_DATABASE_URL',
    'WORKER_DEPLOYMENT_NAME',
  ]);
});

test.each([
  [{}, '1'],
  [{ HOST: '::1' }, '1'],
  [{ HOST: '0.0.0.0' }, '0'],
  [{ HOST: '192.168.1.7' }, '0'],
  [{ WEBHOOK_ALLOW_PRIVATE: '0' }, '0'],
  [{ HOST: '0.0.0.0', WEBHOOK_ALLOW_PRIVATE: '1' }, '1'],
])('with %o, webhooks to private addresses are %s', (environment, allowed) => {
  expect(allowPrivateWebhooks(launcherConfig(environment))).toBe(allowed);
});

test('npm start -- --help starts nothing, and names ports, their variables and the folder', async () => {
  // In production, a start is refused before anything runs.
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', 'deploy/local/main.ts', '--help'],
    { cwd: projectFolder, env: { PATH: process.env['PATH'], NODE_ENV: 'production' } },
  );
  expect(['PORT (3000)', 'METRICS_PORT (9464)', 'DATA_DIR (.data)'].filter((part) => !stdout.includes(part))).toEqual(
    [],
  );
});
