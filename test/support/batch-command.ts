import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandEnd } from './commands.ts';
import type { Company } from './companies.ts';
import { compiled } from './program.ts';

/**
 * Runs commands one after the other in one process, each as a program of its own, since most of a command's CPU goes into its
 * start. Prints what each of them has printed, and its exit code.
 */
const ONE_AFTER_THE_OTHER = `
  const [node, , program, runs] = process.argv;
  const [stdout, stderr] = [process.stdout.write, process.stderr.write];
  const ends = [];
  for (const [index, args] of JSON.parse(runs).entries()) {
    const end = { stdout: '', stderr: '' };
    process.stdout.write = (text) => { end.stdout += text; return true; };
    process.stderr.write = (text) => { end.stderr += text; return true; };
    process.argv = [node, program, ...args];
    process.exitCode = 0;
    await import(\`\${program}?run=\${index}\`);
    ends.push({ code: process.exitCode, ...end });
  }
  process.exitCode = 0;
  Object.assign(process.stdout, { write: stdout });
  Object.assign(process.stderr, { write: stderr });
  process.stdout.write(JSON.stringify(ends));`;

/** `npm run batch` as the owner of a company, and a folder for its files. */
export function openBatchCommand() {
  const folder = mkdtempSync(join(tmpdir(), 'accubooks-batch-test-'));
  const path = (name: string) => join(folder, name);
  const save = (name: string, text: string) => {
    writeFileSync(path(name), text);
    return path(name);
  };

  const program = () => compiled('deploy/batch/main.ts');
  const to = (company: Company, url: string) => [
    ...['--url', url, '--token-file', save(`${company.id}.token`, company.users.owner.token)],
  ];

  function start(company: Company, url: string, args: readonly string[], input?: string) {
    return startNode([program(), ...args, ...to(company, url)], input);
  }

  async function runAll(company: Company, url: string, runs: readonly (readonly string[])[]): Promise<CommandEnd[]> {
    const all = JSON.stringify(runs.map((args) => [...args, ...to(company, url)]));
    const { ended } = startNode([save('all.mjs', ONE_AFTER_THE_OTHER), program(), all]);
    const { stdout, stderr } = await ended;
    if (stderr !== '') throw new Error(stderr);
    return JSON.parse(stdout);
  }

  function startNode(args: readonly string[], input?: string) {
    const child = spawn(process.execPath, args, {
      env: { PATH: process.env['PATH'], DATA_DIR: path('no-local-system') },
      stdio: 'pipe',
    });
    // A test that fails before its command ends must not leave it to the next run.
    const kill = () => void child.kill('SIGKILL');
    process.once('exit', kill);
    child.once('exit', () => process.off('exit', kill));
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (data: Buffer) => (output.stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (output.stderr += data.toString()));
    child.stdin.end(input);
    const ended = once(child, 'close').then(([code]): CommandEnd => ({ code: code ?? -1, ...output }));
    return { child, ended, output };
  }

  return {
    path,
    save,
    start,
    runAll,
    run: (company: Company, url: string, args: readonly string[], input?: string) =>
      start(company, url, args, input).ended,
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A proxy on loopback that passes on so many bytes of each connection's client, and the rest once it is opened. */
export async function startHolding(target: string, bytes: number) {
  const { hostname, port } = new URL(target);
  const stopped: Socket[] = [];
  let held = 0;
  let isOpen = false;
  const server = createServer((client) => {
    const upstream = connect({ host: hostname, port: Number(port) });
    let passed = 0;
    client.on('data', (data: Buffer) => {
      passed += data.length;
      upstream.write(data);
      if (passed < bytes || isOpen) return;
      held += 1;
      client.pause();
      stopped.push(client);
    });
    upstream.on('data', (data) => client.write(data));
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('error', () => undefined);
      from.on('close', () => to.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** How many connections were stopped in the middle of what they send. */
    held: () => held,
    open() {
      isOpen = true;
      for (const client of stopped.splice(0)) client.resume();
    },
    /** Takes the connections away that were stopped, and lets each new one through. */
    cut() {
      isOpen = true;
      for (const client of stopped.splice(0)) client.resetAndDestroy();
    },
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
