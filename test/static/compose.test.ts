import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { COMPOSE_RULES, type Compose, mountedPaths } from '../support/compose-rules.ts';
import { composeSchemaFaults } from '../support/compose-schema.ts';

const text = readFileSync('deploy/compose.yaml', 'utf8');
const read = (): Compose => parse(text, { merge: true });

describe('compose.yaml', () => {
  test('is what the Compose specification knows', () => {
    expect(composeSchemaFaults(read())).toEqual([]);
    const misspelt = read();
    misspelt.services.api.healthchek = {};
    expect(composeSchemaFaults(misspelt).join()).toContain('healthchek');
    const wrong = read();
    wrong.services.api.stop_grace_period = 75;
    expect(composeSchemaFaults(wrong).join()).toContain('stop_grace_period');
  });

  for (const [promise, rule] of Object.entries(COMPOSE_RULES)) {
    test(promise, () => expect(rule(read())).toEqual([]));
  }

  const spoilt: Readonly<Record<string, readonly [(compose: Compose) => unknown, string]>> = {
    'every image is of an exact version': [
      ({ services }) => Object.assign(services.postgres, { image: 'postgres:latest' }),
      'postgres runs',
    ],
    'every port is on loopback': [({ services }) => services.api.ports.push('3000:3000'), 'api listens'],
    'everything that stays says how it is': [({ services }) => delete services.temporal.healthcheck, 'temporal has no'],
    'nothing starts before what it needs': [
      ({ services }) => Object.assign(services.api.depends_on.migrate, { condition: 'service_started' }),
      'does not wait until migrate',
    ],
    'our processes are confined': [({ services }) => delete services.worker.read_only, 'worker may write'],
    'our processes are told only what they read': [
      ({ services }) => Object.assign(services.api.environment, { REDIS_URL: 'x' }),
      'REDIS_URL, which nothing reads',
    ],
    'secrets come as files': [
      ({ services }) => Object.assign(services.api.environment, { METRICS_TOKEN: 'x' }),
      'METRICS_TOKEN is given openly',
    ],
    'our processes have the time that they need to drain': [
      ({ services }) => delete services.api.stop_grace_period,
      'api is killed',
    ],
  };
  test.each(Object.keys(COMPOSE_RULES))('refused where not: %s', (promise) => {
    const [spoil, fault] = spoilt[promise] ?? [() => undefined, 'a case that breaks it'];
    const compose = read();
    spoil(compose);
    expect(COMPOSE_RULES[promise]?.(compose).join('\n')).toContain(fault);
  });

  test('has all the secrets that it names made by one command, once', async () => {
    const parent = mkdtempSync(join(tmpdir(), 'accubooks-secrets-'));
    const folder = join(parent, 'secrets');
    try {
      const make = () => promisify(execFile)('npm', ['run', '--silent', 'compose:secrets', '--', '--folder', folder]);
      await make();
      const compose = read();
      const files = [
        ...Object.values<{ file: string }>(compose.secrets).map(({ file }) => file),
        ...compose.services.temporal.env_file,
      ];
      const contents = () =>
        files.map((file) => readFileSync(join(folder, file.replace('./compose/secrets/', '')), 'utf8'));
      const made = contents();
      expect(made.every((content) => content.trim().length >= 32)).toBe(true);
      expect(statSync(folder).mode & 0o777).toBe(0o700);
      await make();
      expect(contents()).toEqual(made);
    } finally {
      rmSync(parent, { recursive: true });
    }
  });

  test('mounts only what is there', () => {
    const missing = mountedPaths(read()).filter(
      (path) => !path.startsWith('./compose/secrets/') && !existsSync(join('deploy', path)),
    );
    expect(missing).toEqual([]);
  });
});
