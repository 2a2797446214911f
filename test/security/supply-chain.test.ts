import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { cacheBinary } from '../../deploy/local/fetched-binary.ts';
import { resolveTemporalBinary } from '../../deploy/local/temporal-binary.ts';
import { FILES_WITH_IMAGES, imageFaults, imagesIn } from '../../deploy/supply-chain/image-pins.ts';
import { IMAGES, TEMPORAL_CLI } from '../../deploy/supply-chain/pins.ts';
import { licenceList, makeSbom, type Sbom } from '../../deploy/supply-chain/sbom.ts';
import { supplyWorkflowFaults } from '../support/ci-rules.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'accubooks-supplies-'));
});
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  vi.unstubAllEnvs();
});

const NAME = `temporal-${TEMPORAL_CLI.version}-${process.platform}-${process.arch}`;
const silent = () => undefined;

/** Nothing but the cache in this folder. */
function onlyCachedIn(cache: string): void {
  vi.stubEnv('TEMPORAL_CLI_PATH', '');
  vi.stubEnv('PATH', '/nonexistent');
  vi.stubEnv('ACCUBOOKS_CACHE_DIR', cache);
}

describe('a fetched Temporal of which one bit was changed', () => {
  test('stops the start, without having run', async () => {
    const original = await resolveTemporalBinary(console.log);
    const changed = join(folder, NAME);
    copyFileSync(original, changed);
    flipOneBit(changed, Math.floor(statSync(changed).size / 2));
    onlyCachedIn(folder);
    const told =
      /is not the Temporal CLI that this release has pinned: its SHA-256 is [0-9a-f]{64}, not [0-9a-f]{64}\. It was not started/;
    await expect(resolveTemporalBinary(silent)).rejects.toThrow(told);
    // As its user meets it.
    const start = promisify(execFile)(process.execPath, ['--import', 'tsx', 'deploy/local/main.ts'], {
      env: {
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        DATA_DIR: join(folder, 'data'),
        ACCUBOOKS_CACHE_DIR: folder,
        PORT: '20999',
      },
    });
    await expect(start).rejects.toMatchObject({ code: 1, stderr: expect.stringMatching(told) });
    flipOneBit(changed, Math.floor(statSync(changed).size / 2));
    chmodSync(changed, 0o755);
    expect(await resolveTemporalBinary(silent)).toBe(changed);
    rmSync(changed);
  });

  test('is not taken from the network either, and does not run to be looked at', async () => {
    const cache = join(folder, 'cache');
    const trace = join(folder, 'it-ran');
    const program = `#!/bin/sh\n: > ${trace}\necho temporal version 9\n`;
    const fetchInto = async (temporary: string) => {
      writeFileSync(join(temporary, 'temporal'), program);
      return join(temporary, 'temporal');
    };
    onlyCachedIn(cache);
    await cacheBinary(cache, join(cache, NAME), fetchInto, async () => undefined);
    await expect(resolveTemporalBinary(silent)).rejects.toThrow('is not the Temporal CLI that this release has pinned');
    expect(existsSync(trace)).toBe(false);
    const pinned = createHash('sha256').update(program).digest('hex');
    const pins = {
      ...TEMPORAL_CLI,
      binaries: { ...TEMPORAL_CLI.binaries, [`${process.platform}-${process.arch}`]: pinned },
    };
    expect(await resolveTemporalBinary(silent, pins)).toBe(join(cache, NAME));
    expect(existsSync(trace)).toBe(true);
    expect(readdirSync(cache)).toEqual([NAME]);
  });

  test('nor is one for a platform that nobody has pinned', async () => {
    onlyCachedIn(folder);
    const pins = {
      ...TEMPORAL_CLI,
      binaries: { ...TEMPORAL_CLI.binaries, [`${process.platform}-${process.arch}`]: null },
    };
    await expect(resolveTemporalBinary(silent, pins)).rejects.toThrow('No digest of the Temporal CLI');
  });
});

describe('an image whose tag was moved', () => {
  test.each(FILES_WITH_IMAGES)('is not what %s gets, once the release has filled the digests in', (file) => {
    const text = readFileSync(file, 'utf8');
    expect(imagesIn(text).length).toBeGreaterThan(0);
    expect(imageFaults(text, IMAGES)).toEqual([]);
    const filled = Object.fromEntries(
      Object.keys(IMAGES).map((image, index) => [image, String(index).repeat(64).slice(0, 64)]),
    );
    expect(imageFaults(text, filled)).toHaveLength(imagesIn(text).length);
    const [{ image } = { image: '' }] = imagesIn(text);
    const pinned = text.replaceAll(image, `${image}@sha256:${filled[image]}`);
    expect(imageFaults(pinned, filled).filter((fault) => fault.startsWith(image))).toEqual([]);
    expect(imageFaults(pinned, { ...filled, [image]: 'f'.repeat(64) }).join()).toContain('is not named by its digest');
    expect(imageFaults(text.replaceAll(image, `${image}.1`), IMAGES).join()).toContain(
      'is not among the pinned images',
    );
  });

  test('and every one that is pinned is used somewhere', () => {
    const used = FILES_WITH_IMAGES.flatMap((file) => imagesIn(readFileSync(file, 'utf8')).map(({ image }) => image));
    expect(Object.keys(IMAGES).filter((image) => !used.includes(image))).toEqual([]);
    expect(readFileSync('deploy/compose.yaml', 'utf8').match(/^ *image: /gm)).toHaveLength(
      imagesIn(readFileSync('deploy/compose.yaml', 'utf8')).length + 1,
    );
  });
});

describe('the list of what a release consists of', () => {
  let sbom: Sbom;
  beforeAll(async () => {
    sbom = await makeSbom('.');
  });

  test('is CycloneDX and has each locked package of production, with its digest, and none of development', () => {
    expect([sbom.bomFormat, Number(sbom.specVersion) >= 1.5]).toEqual(['CycloneDX', true]);
    const lock: { packages: Record<string, { version: string; dev?: true }> } = JSON.parse(
      readFileSync('package-lock.json', 'utf8'),
    );
    const locked = Object.entries(lock.packages)
      .filter(([path, { dev }]) => path !== '' && dev !== true)
      .map(([path, { version }]) => `${path.split('node_modules/').at(-1)}@${version}`);
    expect(new Set(sbom.components.map(({ name, version }) => `${name}@${version}`))).toEqual(new Set(locked));
    expect(sbom.components.filter(({ hashes }) => !Array.isArray(hashes)).map(({ name }) => name)).toEqual([]);
  });

  test('has a licence for each, and one that nobody has allowed stops the build', () => {
    const list = licenceList(sbom);
    expect(list).toMatch(/\| fastify \| \d+\.\d+\.\d+ \| MIT \|/);
    const [first] = sbom.components;
    if (first === undefined) throw new Error('No components');
    for (const [licenses, told] of [
      [[{ license: { id: 'AGPL-3.0-only' } }], 'AGPL-3.0-only'],
      [[], 'none declared'],
      [[{ expression: 'MIT OR GPL-2.0' }], 'MIT OR GPL-2.0'],
    ] as const) {
      const other = { ...first, name: 'strange', licenses: [...licenses] };
      expect(() => licenceList({ ...sbom, components: [...sbom.components, other] })).toThrow(
        `strange ${first.version} (${told})`,
      );
    }
  });
});

describe('the hosted check of packages and image', () => {
  const text = readFileSync('.github/workflows/supply-chain.yml', 'utf8');

  test('audits, verifies signatures, builds the list and scans the image, with pinned actions and no rights', () => {
    expect(supplyWorkflowFaults(text)).toEqual([]);
  });

  const spoilt: [string, (text: string) => string][] = [
    ['is not pinned', (given) => given.replace(/checkout@\w{40} # v[\d.]+/, 'checkout@v5')],
    ['permissions', (given) => given.replace('contents: read', 'contents: write')],
    ['schedule', (given) => given.replace(/ {2}schedule:\n.*\n/, '')],
    ['npm audit --omit=dev', (given) => given.replace('npm audit --omit=dev --audit-level=high', 'npm audit || true')],
    ['npm audit signatures', (given) => given.replace('npm audit signatures', 'npm --version')],
    ['--fail-on high', (given) => given.replace(' --fail-on high', '')],
  ];
  test.each(spoilt)('is refused for: %s', (fault, spoil) => {
    expect(spoil(text)).not.toBe(text);
    expect(supplyWorkflowFaults(spoil(text)).join('\n')).toContain(fault);
  });
});

function flipOneBit(file: string, position: number): void {
  const handle = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  readSync(handle, byte, 0, 1, position);
  byte[0] = (byte[0] as number) ^ 1;
  writeSync(handle, byte, 0, 1, position);
  closeSync(handle);
}
