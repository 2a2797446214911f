import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';

const licenceSchema = z.union([
  z.object({ license: z.object({ id: z.string().optional(), name: z.string().optional() }) }),
  z.object({ expression: z.string() }),
]);

const sbomSchema = z.looseObject({
  bomFormat: z.literal('CycloneDX'),
  specVersion: z.string(),
  components: z.array(
    z.looseObject({
      name: z.string(),
      version: z.string(),
      purl: z.string(),
      'bom-ref': z.string(),
      licenses: z.array(licenceSchema).optional(),
    }),
  ),
  dependencies: z.array(z.object({ ref: z.string(), dependsOn: z.array(z.string()).default([]) })),
});

/** What a release consists of, as CycloneDX JSON. */
export type Sbom = z.output<typeof sbomSchema>;

/**
 * The licences under which we may ship a package. Another one stops the build, so that a person decides; a package that
 * declares none, or not in this form, is named in `DECLARED_ELSEWHERE` with the licence in its own files.
 */
const ALLOWED: readonly string[] = [
  '0BSD',
  'Apache-2.0',
  'Apache-2.0 AND MIT',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC-BY-4.0',
  'ISC',
  'MIT',
  'PostgreSQL',
  'Unlicense',
];
const DECLARED_ELSEWHERE: Readonly<Record<string, string>> = { unionfs: 'Unlicense' };

const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/**
 * Lists the packages of a release from package-lock.json, without those of development. Needs no network.
 *
 * npm lists all, and those of development are taken out here: its own `--omit=dev` also leaves out what both need, zod for one,
 * and its mark for development is that of one copy where there are several.
 */
export async function makeSbom(projectFolder: string): Promise<Sbom> {
  const { stdout } = await promisify(execFile)(
    'npm',
    ['sbom', '--sbom-format=cyclonedx', '--sbom-type=application', '--package-lock-only'],
    { cwd: projectFolder, maxBuffer: MAX_OUTPUT_BYTES },
  );
  const sbom = sbomSchema.parse(JSON.parse(stdout));
  const kept = packagesOfRelease(readFileSync(join(projectFolder, 'package-lock.json'), 'utf8'));
  const gone = new Set(
    sbom.components
      .filter(({ name, version }) => !kept.has(`${name}@${version}`))
      .map((component) => component['bom-ref']),
  );
  return {
    ...sbom,
    components: sbom.components.filter((component) => !gone.has(component['bom-ref'])),
    dependencies: sbom.dependencies
      .filter(({ ref }) => !gone.has(ref))
      .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((other) => !gone.has(other)) })),
  };
}

const lockSchema = z.object({
  packages: z.record(z.string(), z.object({ version: z.string().optional(), dev: z.boolean().optional() })),
});

/** As `name@version`. */
function packagesOfRelease(lock: string): ReadonlySet<string> {
  const { packages } = lockSchema.parse(JSON.parse(lock));
  return new Set(
    Object.entries(packages)
      .filter(([path, { dev }]) => path !== '' && dev !== true)
      .map(([path, { version }]) => `${path.split('node_modules/').at(-1)}@${version}`),
  );
}

/** A Markdown table of the packages and their licences. Throws when one is not allowed, and names it. */
export function licenceList({ components }: Sbom): string {
  const rows = components
    .map(({ name, version, licenses }) => ({ name, version, licence: licenceOf(name, licenses ?? []) }))
    .toSorted((a, b) => a.name.localeCompare(b.name, 'en') || a.version.localeCompare(b.version, 'en'));
  const refused = rows.filter(({ licence }) => !ALLOWED.includes(licence));
  if (refused.length > 0) {
    const names = refused.map(({ name, version, licence }) => `${name} ${version} (${licence})`).join(', ');
    throw new Error(`Licences that nobody has allowed in deploy/supply-chain/sbom.ts: ${names}`);
  }
  return [
    '| Package | Version | Licence |',
    '| --- | --- | --- |',
    ...rows.map(({ name, version, licence }) => `| ${name} | ${version} | ${licence} |`),
    '',
  ].join('\n');
}

function licenceOf(name: string, licences: readonly z.output<typeof licenceSchema>[]): string {
  const declared = licences.map((one) => ('expression' in one ? one.expression : (one.license.id ?? one.license.name)));
  return DECLARED_ELSEWHERE[name] ?? (declared.join(' AND ') || 'none declared');
}
