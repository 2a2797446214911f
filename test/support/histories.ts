import { fileURLToPath } from 'node:url';

/** One file a recorded run, named `write-{version}-{how it went}.json` (see record-histories.ts). */
export const HISTORIES_FOLDER = fileURLToPath(new URL('../histories/', import.meta.url));
