import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/** What was built, by its path below the folder, with its size in bytes as it is and as browsers get it (brotli). */
export type BuiltFile = { readonly path: string; readonly bytes: number; readonly compressedBytes: number };

const PAGE = join(import.meta.dirname, 'page');

/**
 * Builds the console for browsers into `folder`: `index.html`, and below `assets/` what it loads, under names that change with
 * their content, so that a browser may keep them for ever. Each file has a compressed twin beside it (`.br`, `.gz`). What an
 * earlier build has left there is removed.
 */
export async function buildConsole(folder: string): Promise<readonly BuiltFile[]> {
  const { outputFiles, metafile } = await build({
    entryPoints: [join(PAGE, 'main.tsx')],
    bundle: true,
    format: 'esm',
    splitting: true,
    minify: true,
    target: ['es2022', 'chrome120', 'firefox124', 'safari17.4'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    charset: 'utf8',
    legalComments: 'linked',
    entryNames: 'assets/[name]-[hash]',
    chunkNames: 'assets/[name]-[hash]',
    assetNames: 'assets/[name]-[hash]',
    loader: { '.svg': 'file' },
    outdir: folder,
    absWorkingDir: PAGE,
    tsconfig: join(PAGE, 'tsconfig.json'),
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  const main = Object.values(metafile.outputs).find(({ entryPoint }) => entryPoint === 'main.tsx');
  const script = outputFiles.find(({ path }) => /[\\/]main-[A-Z0-9]+\.js$/.test(path));
  const style = outputFiles.find(({ path }) => /[\\/]main-[A-Z0-9]+\.css$/.test(path));
  if (main === undefined || script === undefined || style === undefined)
    throw new Error('Bug! The console has no entry');
  const nameOf = (path: string) => path.slice(folder.length + 1).replaceAll('\\', '/');
  const files = [
    ...outputFiles.map(({ path, contents }) => ({ path: nameOf(path), contents: Buffer.from(contents) })),
    { path: 'index.html', contents: Buffer.from(indexPage(nameOf(script.path), nameOf(style.path))) },
  ];
  rmSync(join(folder, 'assets'), { recursive: true, force: true });
  mkdirSync(join(folder, 'assets'), { recursive: true });
  return files.map(({ path, contents }) => {
    const compressed = brotliCompressSync(contents);
    writeFileSync(join(folder, path), contents);
    writeFileSync(join(folder, `${path}.br`), compressed);
    writeFileSync(join(folder, `${path}.gz`), gzipSync(contents, { level: 9 }));
    return { path, bytes: contents.length, compressedBytes: compressed.length };
  });
}

/** The paths are absolute: the page is served at each address below /console. */
function indexPage(script: string, style: string): string {
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>AccuBooks console</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="/console/${style}">
    <script type="module" src="/console/${script}"></script>
  </head>
  <body>
    <noscript>The console needs JavaScript.</noscript>
  </body>
</html>
`;
}
