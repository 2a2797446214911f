import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answerer, json, startAnswering } from '../support/answering-server.ts';
import { compiled } from '../support/program.ts';

const part = (of: object) => Buffer.from(JSON.stringify(of)).toString('base64url');
const TOKEN = [{ alg: 'none' }, { sub: 'u', company_id: 'c', exp: 4_000_000_000 }, {}].map(part).join('.');
/** One page of 180,010 bytes. */
const PAGE = `${JSON.stringify({ row: 1, x: 'x'.repeat(179_991) })}\n`;
const LIMIT_KIB = 100;

describe('results for which there is no room', () => {
  const folder = mkdtempSync(join(tmpdir(), 'accubooks-results-cut-'));
  const out = join(folder, 'out');
  let server: Awaited<ReturnType<typeof startAnswering>>;
  beforeAll(async () => {
    const page: Answerer = (response) => response.writeHead(200, { 'content-type': 'application/x-ndjson' }).end(PAGE);
    server = await startAnswering([
      (response, request) => (request.url?.includes('/results') ? page : json(200, { rows: 1 }))(response, request),
    ]);
  });
  afterAll(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  /** The command in a shell that limits the size of its files, as a disk does that is full. */
  async function run(line: string, limitKiB?: number) {
    rmSync(out, { force: true });
    const limit = limitKiB === undefined ? '' : `ulimit -f ${limitKiB}; `;
    const command = `"$NODE" "$MAIN" results b --url "$URL" --token "$TOKEN" ${line}`;
    const child = spawn('bash', ['-c', `set -o pipefail; ${limit}${command}`], {
      env: {
        PATH: process.env['PATH'],
        NODE: process.execPath,
        MAIN: compiled('deploy/batch/main.ts'),
        URL: server.url,
        TOKEN,
        OUT: out,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
    return { code, stderr };
  }

  test('are no file under the name of the results', async () => {
    const { code, stderr } = await run('--out "$OUT"', LIMIT_KIB);
    expect([code, stderr, existsSync(out), existsSync(`${out}.new`)]).toEqual([
      ...[2, expect.stringContaining('EFBIG'), false, false],
    ]);
  });

  test('are an error where the standard output is a file', async () => {
    const { code, stderr } = await run('> "$OUT"', LIMIT_KIB);
    expect([code, stderr]).toEqual([2, expect.stringContaining('EFBIG')]);
  });

  test('are whole where there is, in a file and in a pipe whose reader is slow', async () => {
    for (const line of ['--out "$OUT"', '> "$OUT"', '| (sleep 1; cat) > "$OUT"']) {
      expect([line, await run(line)]).toEqual([line, { code: 0, stderr: '' }]);
      expect(readFileSync(out, 'utf8') === PAGE).toBe(true);
    }
  });
});
