import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cloneDatabase } from '../support/database.ts';
import { type OwnServers, startOwnServers } from '../support/own-servers.ts';
import { type SystemProcess, startApiProcess, startWorkerProcess } from '../support/processes.ts';
import { PRODUCTION as production } from '../support/production.ts';

const WARN = 40;

function warningsOf({ logs }: SystemProcess): unknown[] {
  return logs.filter(({ level }) => level === WARN).map(({ msg }) => msg);
}

describe('a process whose PostgreSQL may lose what it has committed', () => {
  let servers: OwnServers;
  beforeAll(async () => {
    servers = await startOwnServers();
  });
  afterAll(() => servers?.stop());

  /** As its URL's login finds it, whatever the server itself says. */
  const withOption = (name: string) => {
    const url = new URL(servers.environment[name] as string);
    url.searchParams.set('options', '-c synchronous_commit=off');
    return { [name]: url.href };
  };

  test('is none where PostgreSQL is durable: it starts in production, and warns of nothing', async () => {
    const started = [startApiProcess, startWorkerProcess].map((start) =>
      start({ ...servers.environment, ...production }),
    );
    for (const each of await Promise.all(started)) {
      expect(warningsOf(each)).toEqual([]);
      expect(await each.terminate()).toBe(0);
    }
  });

  test('refuses to start in production, and warns locally, where the database sets synchronous_commit off', async () => {
    await servers.owner.query('ALTER DATABASE accubooks SET synchronous_commit = off');
    try {
      const text =
        'DATABASE_URL: synchronous_commit is off (source: database): a crash of the server can lose writes that were ' +
        'already answered. Turn synchronous_commit on (docs/operating.md, PostgreSQL)';
      const refused = startApiProcess({ ...servers.environment, ...production });
      await expect(refused).rejects.toThrow(`ended with 1: ${text}\n`);
      const local = await startApiProcess(servers.environment);
      expect(warningsOf(local)).toEqual([text]);
      expect(await local.terminate()).toBe(0);
    } finally {
      await servers.owner.query('ALTER DATABASE accubooks RESET synchronous_commit');
    }
  });

  test('judges by its own login: that of the process, and that of the relay', async () => {
    for (const setting of ['DATABASE_URL', 'RELAY_DATABASE_URL']) {
      const worker = startWorkerProcess({ ...servers.environment, ...production, ...withOption(setting) });
      await expect(worker).rejects.toThrow(`ended with 1: ${setting}: synchronous_commit is off (source: client)`);
    }
  });

  test('names every such setting, fsync and full_page_writes too', async () => {
    const clone = await cloneDatabase();
    try {
      const api = startApiProcess({ ...servers.environment, ...production, DATABASE_URL: clone.appUrl });
      await expect(api).rejects.toThrow(/fsync is off .*full_page_writes is off .*synchronous_commit is off /);
      await expect(api).rejects.toThrow('Turn fsync, full_page_writes, synchronous_commit on');
    } finally {
      await clone.drop();
    }
  });
});
