import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * As much of a Dockerfile as ours uses, carried out without an engine: each stage is a folder, COPY copies, RUN runs on
 * this machine in the stage's WORKDIR. An instruction or a form that it does not know is an error and not left out.
 */
export type Stage = {
  readonly name: string;
  readonly from: string;
  readonly steps: readonly { readonly instruction: string; readonly rest: string }[];
};

export type Image = {
  /** The folder that is the image's WORKDIR. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly user: string;
  readonly command: readonly string[];
  readonly healthcheck: readonly string[];
};

/** npm would ask its registry whether there is a newer one of itself. */
const RUN_ENVIRONMENT = { ...process.env, NPM_CONFIG_UPDATE_NOTIFIER: 'false' };

export function parseDockerfile(text: string): Stage[] {
  const lines = text
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('#'))
    .join('\n')
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const stages: { name: string; from: string; steps: { instruction: string; rest: string }[] }[] = [];
  for (const line of lines) {
    const [, instruction = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    if (instruction === 'FROM') {
      const [, from = '', name = String(stages.length)] = /^(\S+)(?:\s+AS\s+(\S+))?$/.exec(rest) ?? [];
      stages.push({ name, from, steps: [] });
    } else {
      const stage = stages.at(-1);
      if (stage === undefined || instruction === '') throw new Error(`Not understood: ${line}`);
      stage.steps.push({ instruction, rest });
    }
  }
  return stages;
}

/** What COPY takes from the build's context. */
export function copiedFromContext(stages: readonly Stage[]): string[] {
  const copies = stages.flatMap(({ steps }) => steps.filter(({ instruction }) => instruction === 'COPY'));
  return copies.filter(({ rest }) => !rest.startsWith('--')).flatMap(({ rest }) => rest.split(/\s+/).slice(0, -1));
}

/**
 * Carries all stages out below `folder`, and answers what the last one came to.
 *
 * @param standIns does in our way what a RUN of exactly that text does with the network.
 */
export function assemble(
  stages: readonly Stage[],
  options: {
    readonly context: string;
    readonly folder: string;
    readonly standIns: Readonly<Record<string, (folder: string) => void>>;
  },
): Image {
  let image: Image | undefined;
  for (const stage of stages) {
    const root = join(options.folder, stage.name);
    let workdir = root;
    const state = { environment: {} as Record<string, string>, user: 'root', command: [''], healthcheck: [''] };
    for (const { instruction, rest } of stage.steps) {
      if (instruction === 'WORKDIR') {
        workdir = join(root, rest);
        mkdirSync(workdir, { recursive: true });
      } else if (instruction === 'COPY') copy(rest, workdir, options);
      else if (instruction === 'RUN') {
        const standIn = options.standIns[rest];
        if (standIn !== undefined) standIn(workdir);
        else execFileSync('sh', ['-ec', rest], { cwd: workdir, stdio: 'pipe', env: RUN_ENVIRONMENT });
      } else if (instruction === 'ENV') {
        for (const [, name = '', value = ''] of rest.matchAll(/(\w+)=(\S+)/g)) {
          state.environment[name] = value.startsWith('/') ? join(root, value) : value;
        }
      } else if (instruction === 'USER') state.user = rest;
      else if (instruction === 'CMD') state.command = JSON.parse(rest);
      else if (instruction === 'HEALTHCHECK') state.healthcheck = JSON.parse(rest.slice(rest.indexOf('[')));
      else if (instruction !== 'EXPOSE') throw new Error(`Not understood: ${instruction} ${rest}`);
    }
    image = { folder: workdir, ...state };
  }
  if (image === undefined) throw new Error('A Dockerfile without a stage');
  return image;
}

function copy(rest: string, workdir: string, { context, folder }: { context: string; folder: string }): void {
  const words = rest.split(/\s+/);
  const flags = words.filter((word) => word.startsWith('--'));
  const paths = words.filter((word) => !word.startsWith('--'));
  const [, from] = /^--from=(\w+)$/.exec(flags[0] ?? '') ?? [];
  const destination = paths.pop() ?? '';
  if (flags.length > (from === undefined ? 0 : 1) || destination.startsWith('/')) {
    throw new Error(`Not understood: COPY ${rest}`);
  }
  for (const path of paths) {
    const source = join(from === undefined ? context : join(folder, from), path);
    // As COPY does: of a folder its content, of a file the file itself, below a destination that ends in a slash.
    const isFolder = statSync(source).isDirectory();
    const target = join(workdir, destination);
    mkdirSync(isFolder || destination.endsWith('/') ? target : dirname(target), { recursive: true });
    copyTree(isFolder ? `${source}/.` : source, target);
  }
}

/** As hard links, where that can be: packages are many files. Nothing here writes into a file that is there. */
function copyTree(source: string, target: string): void {
  try {
    execFileSync('cp', ['-al', source, target], { stdio: 'pipe' });
  } catch {
    // Another file system, or files of another user.
    execFileSync('cp', ['-a', source, target], { stdio: 'pipe' });
  }
}
