import { parseDocument } from 'yaml';
import { z } from 'zod';

/** What a workflow file of ours may say: GitHub ignores a key that it does not know, and the check it was meant for. */
const step = z.strictObject({
  name: z.string().optional(),
  uses: z.string().optional(),
  run: z.string().optional(),
  with: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
});

/** One of the runs side by side: a part of `.ci/verify`, and which share of it. */
const share = z.strictObject({ part: z.string(), shard: z.string().optional() });

const job = z.strictObject({
  'runs-on': z.string(),
  'timeout-minutes': z.number().max(60),
  strategy: z.strictObject({ 'fail-fast': z.literal(false), matrix: z.strictObject({ include: z.array(share) }) }),
  env: z.strictObject({
    PARTS: z.string().regex(/^\$\{\{ matrix\.part \}\}$/),
    SHARD: z.string().regex(/^\$\{\{ matrix\.shard \}\}$/),
  }),
  steps: z.array(step).min(1),
});

const workflow = z.strictObject({
  name: z.string(),
  on: z.strictObject({ push: z.strictObject({ branches: z.array(z.string()) }), pull_request: z.null() }),
  permissions: z.strictObject({ contents: z.literal('read') }),
  concurrency: z.strictObject({ group: z.string(), 'cancel-in-progress': z.union([z.boolean(), z.string()]) }),
  jobs: z.strictObject({ verify: job }),
});

/** Everything that is wrong with a workflow file, in words. `parts` are those of `.ci/verify`. */
export function workflowFaults(text: string, parts: readonly string[]): string[] {
  const document = parseDocument(text);
  if (document.errors.length > 0) return document.errors.map((error) => error.message);
  const parsed = workflow.safeParse(document.toJS());
  if (!parsed.success) return parsed.error.issues.map(tellIssue);
  const { steps, strategy } = parsed.data.jobs.verify;
  return [
    ...stepFaults(steps, text),
    ...(steps.some(({ run }) => run?.trim() === 'bash .ci/run') ? [] : ['no step runs .ci/run']),
    ...shareFaults(strategy.matrix.include, parts),
  ];
}

const supplyJob = z.strictObject({
  'runs-on': z.string(),
  'timeout-minutes': z.number().max(60),
  env: z.strictObject({ SCANNER: z.string() }).optional(),
  steps: z.array(step).min(1),
});

const supplyWorkflow = z.strictObject({
  ...workflow.shape,
  on: z.strictObject({ ...workflow.shape.on.shape, schedule: z.array(z.strictObject({ cron: z.string() })).length(1) }),
  jobs: z.strictObject({ packages: supplyJob, image: supplyJob }),
});

/** What the workflow for packages and image has to run, each as a command of its own, whose failure is a failure of the job. */
const SUPPLY_COMMANDS: Readonly<Record<'packages' | 'image', readonly RegExp[]>> = {
  packages: [
    /^npm ci$/,
    /^npm audit --omit=dev --audit-level=high$/,
    /^npm audit signatures$/,
    /^npm run --silent build$/,
  ],
  image: [
    /^docker build -f deploy\/Dockerfile /,
    /^docker save /,
    /^docker run --rm .* "\$SCANNER" .* --fail-on high$/,
  ],
};

/** Everything that is wrong with the workflow that audits packages and scans the image, in words. */
export function supplyWorkflowFaults(text: string): string[] {
  const document = parseDocument(text);
  if (document.errors.length > 0) return document.errors.map((error) => error.message);
  const parsed = supplyWorkflow.safeParse(document.toJS());
  if (!parsed.success) return parsed.error.issues.map(tellIssue);
  return (['packages', 'image'] as const).flatMap((name) => {
    const { steps } = parsed.data.jobs[name];
    const missing = SUPPLY_COMMANDS[name].filter(
      (command) => !steps.some(({ run }) => command.test(run?.trim() ?? '')),
    );
    return [...stepFaults(steps, text), ...missing.map((command) => `${name} does not run ${command.source}`)];
  });
}

function stepFaults(steps: readonly z.infer<typeof step>[], text: string): string[] {
  const checkouts = steps.filter(({ uses }) => uses?.startsWith('actions/checkout@'));
  return [
    ...steps.flatMap(({ uses }) =>
      uses === undefined || /@[0-9a-f]{40}$/.test(uses) ? [] : [`${uses} is not pinned`],
    ),
    ...text
      .split('\n')
      .flatMap((line) =>
        /uses:/.test(line) && !/ # v\d+\.\d+\.\d+$/.test(line) ? [`says no version: ${line.trim()}`] : [],
      ),
    // What a branch is called must not become part of a command.
    ...steps.flatMap(({ run }) => (run?.includes('${{') ? [`an expression in a command: ${run}`] : [])),
    ...(checkouts.every((checkout) => checkout.with?.['persist-credentials'] === false)
      ? []
      : ['persist-credentials of actions/checkout is not false: each later step could push']),
  ];
}

/** The shares must be the whole, each of its parts once. */
function shareFaults(shares: readonly z.infer<typeof share>[], parts: readonly string[]): string[] {
  const unknown = shares.filter(({ part }) => !parts.includes(part)).map(({ part }) => `there is no part ${part}`);
  const incomplete = parts.filter((part) => {
    const shards = shares.filter((one) => one.part === part).map(({ shard = '1/1' }) => shard);
    const whole = shards.map((_, index) => `${index + 1}/${shards.length}`);
    return shards.length === 0 || shards.toSorted().join() !== whole.join();
  });
  return [...unknown, ...incomplete.map((part) => `the shares of ${part} are not the whole of it`)];
}

function tellIssue(issue: z.core.$ZodIssue): string {
  const where = issue.path.join('.');
  return issue.code === 'unrecognized_keys'
    ? `${where}: unknown key ${issue.keys.join(', ')}`
    : `${where}: ${issue.message}`;
}
