/**
 * `npm run pins:check`: names each digest that a release has still to fill in, and each file that does not use one that is
 * there. Exits 1 if there is any: such a release would run what a tag or a web site happens to give.
 */
import { readFileSync } from 'node:fs';
import { command, run } from '../cli/command.ts';
import { FILES_WITH_IMAGES, imageFaults } from './image-pins.ts';
import { IMAGES, TEMPORAL_CLI } from './pins.ts';

await run(
  command('pins:check', 'Checks that everything a release fetches is pinned by digest.').action(() => {
    const faults = [
      ...FILES_WITH_IMAGES.flatMap((file) =>
        imageFaults(readFileSync(file, 'utf8'), IMAGES).map((fault) => `${file}: ${fault}`),
      ),
      ...missing('image', IMAGES),
      ...missing('archive of the Temporal CLI for', TEMPORAL_CLI.archives),
      ...missing('binary of the Temporal CLI for', TEMPORAL_CLI.binaries),
    ];
    for (const fault of faults) console.error(fault);
    if (faults.length > 0) process.exitCode = 1;
    else console.log('Everything that a release fetches is pinned.');
  }),
);

function missing(what: string, digests: Readonly<Record<string, string | null>>): string[] {
  return Object.entries(digests)
    .filter(([, digest]) => digest === null)
    .map(([name]) => `deploy/supply-chain/pins.ts has no digest of the ${what} ${name}`);
}
