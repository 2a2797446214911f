/** `npm run check:layers`: the rules of .dependency-cruiser.cjs, and the assurance that they looked at something. */
import { execFileSync } from 'node:child_process';

const FOLDERS = ['deploy', 'api', 'worker', 'activities', 'workflows', 'migrations', 'test'];

/** The part of dependency-cruiser's JSON that is used here. */
interface CruiseResult {
  modules: { source: string }[];
  summary: {
    totalCruised: number;
    violations: { from: string; to: string; rule: { name: string }; cycle?: { name: string }[]; comment?: string }[];
    ruleSetUsed: { forbidden: { name: string; comment: string }[] };
  };
}

const result = cruise();
const complaints = [...emptyFolders(result), ...violations(result)];
for (const complaint of complaints) console.error(complaint);
if (complaints.length > 0) process.exit(1);
const ours = result.modules.filter(({ source }) => FOLDERS.some((folder) => source.startsWith(`${folder}/`)));
console.log(`${ours.length} modules keep to the layers`);

function cruise(): CruiseResult {
  const json = execFileSync('node_modules/.bin/depcruise', ['--output-type', 'json', ...FOLDERS], {
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  });
  return JSON.parse(json) as CruiseResult;
}

function emptyFolders({ modules, summary }: CruiseResult): string[] {
  if (summary.totalCruised === 0)
    return ['no module was looked at: the rules in .dependency-cruiser.cjs checked nothing'];
  return FOLDERS.filter((folder) => !modules.some(({ source }) => source.startsWith(`${folder}/`))).map(
    (folder) => `no module of ${folder}/ was looked at: is the folder, or its name here, wrong?`,
  );
}

function violations({ summary }: CruiseResult): string[] {
  const comments = new Map(summary.ruleSetUsed.forbidden.map((rule) => [rule.name, rule.comment]));
  return summary.violations.map(({ from, to, rule, cycle }) => {
    const path = cycle ? [from, ...cycle.map((step) => step.name)].join(' → ') : `${from} → ${to}`;
    return `${path}\n  ${rule.name}: ${comments.get(rule.name) ?? ''}`;
  });
}
