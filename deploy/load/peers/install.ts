import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectFolder } from '../../cli/local-config.ts';
import type { Contender } from './contenders/contender.ts';
import { PEERS_FOLDER, packageVersion } from './contenders/versions.ts';

const COMMAND = 'npm ci --prefix deploy/load/peers';
/** npm's standard output would otherwise be mixed with the result. */
const TO_STDERR = ['ignore', 2, 'inherit'] as const;

/** Installs this folder's packages if a contender needs them and they are not there in their locked versions. */
export function ensurePackages(contenders: readonly Contender[], log: (line: string) => void): void {
  if (!contenders.some(({ installed }) => installed) || missingPackages().length === 0) return;
  log(`Installing the other engines, once: ${COMMAND}`);
  const [npm = '', ...arguments_] = COMMAND.split(' ');
  try {
    execFileSync(npm, arguments_, { cwd: projectFolder, stdio: [...TO_STDERR] });
  } catch (cause) {
    const without = contenders.filter(({ installed }) => !installed).map(({ name }) => name);
    throw new Error(
      `The other engines cannot be installed. Run "${COMMAND}" yourself, or measure without them: --contenders ${without.join(',') || 'sql,ours'}`,
      { cause },
    );
  }
}

function missingPackages(): string[] {
  const { dependencies } = JSON.parse(readFileSync(join(PEERS_FOLDER, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  return Object.entries(dependencies).flatMap(([name, version]) => (packageVersion(name) === version ? [] : [name]));
}
