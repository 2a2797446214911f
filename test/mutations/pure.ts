import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectFolder } from '../../deploy/cli/local-config.ts';
import { openCopy } from './copy.ts';

/** What Stryker found in one of the modules that `stryker/stryker.config.json` names. */
export type ModuleScore = {
  readonly module: string;
  readonly mutants: number;
  readonly noticed: number;
  /** `line 12: ConditionalExpression → true` */
  readonly survivors: readonly string[];
};

const FOLDER = 'test/mutations/stryker';
const INSTALL = `npm ci --prefix ${FOLDER}`;
const PACKAGES = join(projectFolder, FOLDER, 'node_modules');
/** Stryker needs it; the package has one for where the project runs on an older one. */
const LEAST_NODE = 22;
/** npm's and Stryker's own output would be mixed with the result. */
const TO_STDERR = ['ignore', 2, 'inherit'] as const;

/** The least share of a module's mutants that tests have to notice. */
const LEAST_SCORE = 0.9;

/** Mutates the modules that are pure functions with Stryker, in a copy of this folder. */
export function judgePure(log: (line: string) => void): ModuleScore[] {
  ensurePackages(log);
  const copy = openCopy();
  try {
    const stryker = join(PACKAGES, '@stryker-mutator/core/bin/stryker.js');
    execFileSync(nodeForStryker(), [stryker, 'run', `${FOLDER}/stryker.config.json`], {
      cwd: copy.folder,
      stdio: [...TO_STDERR],
    });
    return scores(readJson(join(copy.folder, 'mutation.json')) as Report);
  } finally {
    copy.remove();
  }
}

/** Of the mutants that could be noticed, how many were; 1 for a module without any. */
export function scoreOf({ mutants, noticed }: ModuleScore): number {
  return mutants === 0 ? 1 : noticed / mutants;
}

export function isTooLow(score: ModuleScore): boolean {
  return scoreOf(score) < LEAST_SCORE;
}

/** Installs this folder's packages if they are not there in their locked versions. */
function ensurePackages(log: (line: string) => void): void {
  const { dependencies } = readJson(join(projectFolder, FOLDER, 'package.json')) as {
    dependencies: Record<string, string>;
  };
  const isInstalled = ([name, version]: readonly [string, string]) => {
    const file = join(PACKAGES, name, 'package.json');
    return existsSync(file) && (readJson(file) as { version: string }).version === version;
  };
  if (Object.entries(dependencies).every(isInstalled)) return;
  log(`Installing Stryker, once: ${INSTALL}`);
  const [npm = '', ...args] = INSTALL.split(' ');
  execFileSync(npm, args, { cwd: projectFolder, stdio: [...TO_STDERR] });
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function nodeForStryker(): string {
  if (Number.parseInt(process.versions.node, 10) >= LEAST_NODE) return process.execPath;
  const { platform, arch } = process;
  const found = [`node-${platform}-${arch}`, `node-bin-${platform}-${arch}`]
    .map((name) => join(PACKAGES, name, 'bin/node'))
    .find(existsSync);
  if (found === undefined) throw new Error(`Stryker needs Node ${LEAST_NODE} or newer: run the command with one.`);
  return found;
}

type Report = {
  readonly files: Readonly<
    Record<
      string,
      {
        readonly mutants: readonly {
          readonly status: string;
          readonly mutatorName: string;
          readonly replacement?: string;
          readonly location: { readonly start: { readonly line: number } };
        }[];
      }
    >
  >;
};

/** A mutant in an endless loop is noticed; one that a comment excludes, or that does not even compile, does not count. */
const NOTICED = new Set(['Killed', 'Timeout']);
const SURVIVED = new Set(['Survived', 'NoCoverage']);

function scores({ files }: Report): ModuleScore[] {
  return Object.entries(files)
    .map(([module, { mutants }]) => {
      const survivors = mutants.filter(({ status }) => SURVIVED.has(status));
      const noticed = mutants.filter(({ status }) => NOTICED.has(status)).length;
      return {
        module,
        mutants: noticed + survivors.length,
        noticed,
        survivors: survivors.map(
          ({ mutatorName, replacement, location }) => `line ${location.start.line}: ${mutatorName} → ${replacement}`,
        ),
      };
    })
    .sort((one, other) => (one.module < other.module ? -1 : 1));
}
