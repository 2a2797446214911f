import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { installInto, type Packed, PROJECT_FOLDER, packClient, readmeBlocks } from '../support/client-package.ts';
import type { Company } from '../support/companies.ts';
import { inForm } from '../support/form.ts';
import { type System, startSystem } from '../support/system.ts';

const run = promisify(execFile);
/** Of all its files, in bytes, of which half are types. It grows with the API: something else must not have come into it. */
const LARGEST = 400_000;
const RESOLUTIONS = [
  { module: 'nodenext', moduleResolution: 'nodenext' },
  { module: 'preserve', moduleResolution: 'bundler' },
];
const TYPES_OF_NODE = join(PROJECT_FOLDER, 'node_modules/@types');

describe('the client, installed from its tarball into an empty project', () => {
  let folder: ThrowawayFolder;
  let project: string;
  let packed: Packed;
  let system: System;
  let company: Company;
  beforeAll(async () => {
    folder = openThrowawayFolder();
    project = join(folder.path, 'project');
    system = await startSystem();
    company = await system.company();
    packed = await packClient(join(folder.path, 'first'));
    await installInto(project, packed);
  });
  afterAll(async () => {
    await system?.stop();
    folder?.remove();
  });

  const tool = async (args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
    const { stdout } = await run(process.execPath, args, { cwd: project, env });
    return stdout;
  };

  test('has in it the compiled sources, the README and the licence', () => {
    const sources = readdirSync(join(PROJECT_FOLDER, 'deploy/client/src'), { recursive: true, encoding: 'utf8' });
    const compiled = sources
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => ['.js', '.d.ts'].map((end) => `dist/${name.replace(/\.ts$/, end)}`));
    expect(packed.files.toSorted()).toEqual(['LICENSE', 'README.md', 'package.json', ...compiled].toSorted());
    expect(packed.unpackedBytes).toBeLessThan(LARGEST);
  });

  test('imports only files that are in it, in the declarations too', () => {
    const texts = packed.files
      .filter((name) => /\.(js|d\.ts)$/.test(name))
      .map((name) => [name, readFileSync(join(project, 'node_modules/@accubooks/client', name), 'utf8')] as const);
    const imported = texts.flatMap(([name, text]) =>
      [...text.matchAll(/(?:from |import\()'(\.[^']+)'/g)].map(([, path = '']) => posix.join(dirname(name), path)),
    );
    expect(imported).toContain('dist/generated/types.js');
    expect(imported.filter((path) => !packed.files.includes(path))).toEqual([]);
  });

  test('brings no other package', () => {
    const installed = readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.'));
    expect(installed).toEqual(['@accubooks']);
  });

  test.each(inForm({ short: [], long: ['again'] }))('is made of the same bytes when it is built %s', async () => {
    const again = await packClient(join(folder.path, 'again'));
    expect(again.integrity).toBe(packed.integrity);
  });

  test('prints for the README’s first example what the README says, and once more when it is run again', async () => {
    const [example = ''] = readmeBlocks('ts');
    const [output] = readmeBlocks('text');
    writeFileSync(join(project, 'first.mjs'), example);
    const environment = { ACCUBOOKS_URL: system.url, ACCUBOOKS_TOKEN: company.users.owner.token };
    expect(await tool(['first.mjs'], environment)).toBe(output);
    expect(await tool(['first.mjs'], environment)).toBe(output);

    const { rows } = await system.owner.query('SELECT count(*)::int AS payments FROM payments WHERE company_id = $1', [
      company.id,
    ]);
    expect(rows).toEqual([{ payments: 1 }]);
  });

  test('writes and reads where there are only the globals that browsers and edge runtimes have', async () => {
    const { url } = system;
    const another = await system.company();
    const entry = join(project, 'node_modules/@accubooks/client/dist/index.js');
    const { stdout } = await run(
      process.execPath,
      [
        '--no-warnings',
        '--experimental-vm-modules',
        '--import',
        'tsx',
        'test/support/web-globals.ts',
        entry,
        url,
        another.users.owner.token,
      ],
      { cwd: PROJECT_FOLDER },
    );
    expect(JSON.parse(stdout)).toEqual({
      replayed: [false, true],
      same: true,
      kept: ['kept', 'settled', 'kept', 'settled'],
      listed: ['Acme Ltd'],
    });
  });

  describe.each(inForm({ short: RESOLUTIONS.slice(0, 1), long: RESOLUTIONS }))(
    'for a compiler with moduleResolution $moduleResolution',
    (resolution) => {
      /** What the compiler has to say of these files, which are those of a project of its own. */
      async function complaints(files: Readonly<Record<string, string>>, options: object): Promise<string> {
        const compilerOptions = { target: 'es2023', lib: ['es2023', 'dom'], strict: true, noEmit: true, ...resolution };
        for (const [name, text] of Object.entries(files)) writeFileSync(join(project, name), text);
        const settings = {
          compilerOptions: { ...compilerOptions, skipLibCheck: false, types: [], ...options },
          files: Object.keys(files),
        };
        writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(settings));
        const compiler = join(PROJECT_FOLDER, 'node_modules/.bin/tsc');
        return run(compiler, ['--project', project]).then(
          () => '',
          ({ stdout }: { stdout: string }) => stdout,
        );
      }

      test('its types are whole, also without those of Node', async () => {
        const program = "export * from '@accubooks/client';\nexport * from '@accubooks/client/node';\n";
        expect(await complaints({ 'whole.ts': program }, {})).toBe('');
      });

      test('every example of the README compiles', async () => {
        const blocks = readmeBlocks('ts').map(
          (text, index) => [`example-${index + 1}.ts`, `export {};\n${text}`] as const,
        );
        expect(blocks.length).toBeGreaterThan(10);
        const files = {
          'known.d.ts': KNOWN_TO_EXAMPLES,
          'opentelemetry.d.ts': OPEN_TELEMETRY,
          ...Object.fromEntries(blocks),
        };
        expect(await complaints(files, { types: ['node'], typeRoots: [TYPES_OF_NODE] })).toBe('');
      });

      test('a misspelt member of a request does not compile', async () => {
        const program =
          "import type { AccuBooks } from '@accubooks/client';\nexport const make = (books: AccuBooks) =>\n  books.customers.create({ nam: 'Acme' });\n";
        expect(await complaints({ 'misspelt.ts': program }, {})).toContain("'nam'");
      });
    },
  );
});

/** What the README's later examples take from its earlier ones, or from the program that they are a part of. */
const KNOWN_TO_EXAMPLES = `
import type { AccuBooks, CreatePaymentBody } from '@accubooks/client';
declare global {
  const books: AccuBooks;
  const baseUrl: string;
  const token: string;
  const payment: CreatePaymentBody;
}
`;

/** What the example uses of a package that is not installed here, with the types that it has there. */
const OPEN_TELEMETRY = `
declare module '@opentelemetry/api' {
  export interface Span {
    setAttribute(key: string, value: string | number | boolean): this;
    setStatus(status: { code: SpanStatusCode; message?: string }): this;
    recordException(exception: Error | string): void;
    end(): void;
  }
  export interface Tracer {
    startActiveSpan<F extends (span: Span) => unknown>(name: string, options: { kind?: SpanKind; attributes?: Record<string, string | number | boolean> }, fn: F): ReturnType<F>;
  }
  export enum SpanKind { INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER }
  export enum SpanStatusCode { UNSET, OK, ERROR }
  export interface Context { readonly isContext: true }
  export const context: { active(): Context };
  export const propagation: { inject<Carrier>(context: Context, carrier: Carrier): void };
  export const trace: { getTracer(name: string, version?: string): Tracer };
}
`;
