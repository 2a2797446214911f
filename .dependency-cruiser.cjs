// The folders and the only arrows between them:
//
//   deploy → api → worker → activities → workflows        migrations stands alone        test may see all
//
// Each layer knows only what is to its right. `npm run check:layers` applies these rules, and fails as well when they
// saw no module of a layer: a rule that looks at nothing passes always.

const LAYERS = ['deploy', 'api', 'worker', 'activities', 'workflows'];

/** The rooms of the API on the way of a write; `openapi` describes it, `webhooks` is a side door, `security` is told of what all do. */
const ROOMS = ['openapi', 'operators', 'webhooks', 'writes', 'reads', 'submit', 'security', 'http'];

/** A room of the API may import nothing from those to its left. */
function roomKnowsOnlyWhatIsToItsRight(room, position) {
  const left = ROOMS.slice(0, position);
  return {
    name: `api-${room}-knows-only-what-is-to-its-right`,
    comment: `api/${room}/ may not import from api's ${left.join(', ')}: turn the import around, or move what both need to the right.`,
    severity: 'error',
    from: { path: `^api/${room}/` },
    to: { path: `^api/(${left.join('|')})/` },
  };
}

/** A layer may import nothing from those to its left. */
function knowsOnlyWhatIsToItsRight(layer, position) {
  return {
    name: `${layer}-knows-only-what-is-to-its-right`,
    comment: `${layer}/ may not import from ${LAYERS.slice(0, position).join(', ')}: turn the import around, or move what both need to the right.`,
    severity: 'error',
    from: { path: `^${layer}/` },
    to: { path: `^(${LAYERS.slice(0, position).join('|')})/` },
  };
}

module.exports = {
  forbidden: [
    ...ROOMS.map(roomKnowsOnlyWhatIsToItsRight).slice(1),
    // workflows has the stricter rule below, which lets types through.
    ...LAYERS.map(knowsOnlyWhatIsToItsRight).filter((_, position) => position > 0 && LAYERS[position] !== 'workflows'),
    {
      name: 'workflows-are-deterministic',
      comment:
        'workflows/ may import only @temporalio/workflow, @temporalio/common and its own files: all else could bring a clock, ' +
        'a random number or the network into code that is replayed. Use `import type`, or move the code into an activity.',
      severity: 'error',
      from: { path: '^workflows/' },
      to: { pathNot: '^(workflows/|node_modules/@temporalio/(workflow|common)/)', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'operations-do-not-know-what-runs-them',
      comment:
        'An operation is given all that it needs. To say no, throw `context.reject(…)`, whose codes the compiler knows, ' +
        'and not a Rejection of your own.',
      severity: 'error',
      from: { path: '^activities/(operations|ledger|inventory|payroll|resources)/' },
      to: { path: '^activities/write/' },
    },
    {
      name: 'configuration-is-read-without-temporal',
      comment:
        'Each command reads the configuration, and most never speak to Temporal, whose modules take half of their start: ' +
        'move what both need into a file of its own.',
      severity: 'error',
      from: { path: '^worker/config\\.ts$' },
      to: { path: '^node_modules/@temporalio/', reachable: true },
    },
    {
      name: 'workflows-know-neither-pg-nor-zod',
      comment:
        'workflows/ may not import pg or zod, nor their types: an activity reads the database, and the API validates before ' +
        'the start.',
      severity: 'error',
      from: { path: '^workflows/' },
      to: { path: '^node_modules/(@types/)?(pg|zod)/' },
    },
    {
      name: 'transactions-have-no-pool',
      comment:
        'What runs inside a transaction may import types alone from pg and activities/database.ts: a second connection ' +
        'deadlocks when all are taken, and sees another snapshot. Use the tx that write() was given.',
      severity: 'error',
      from: { path: '^activities/(operations|ledger|payroll|inventory|resources)/' },
      to: { path: '^(node_modules/(@types/)?pg/|activities/database\\.ts$)', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'each-operation-is-in-the-list',
      comment:
        'activities/operation-list.ts does not know this operation: add its line there, or it has no route, no document and ' +
        'no test.',
      severity: 'error',
      from: { path: '^activities/operation-list\\.ts$' },
      to: { path: '^activities/operations/', reachable: false },
    },
    {
      name: 'the-client-is-a-package-of-its-own',
      comment:
        'deploy/client/src/ is published without the rest, and without dependencies: it may import only its own files, and ' +
        'none of them src/node.ts, which is an entry of its own.',
      severity: 'error',
      from: { path: '^deploy/client/src/' },
      to: { pathNot: '^deploy/client/src/(?!node\\.ts$)', dependencyTypesNot: ['core'] },
    },
    {
      name: 'the-client-runs-in-browsers',
      comment: 'Only src/node.ts of the client may import from Node: browsers and edge runtimes load all other files.',
      severity: 'error',
      from: { path: '^deploy/client/src/', pathNot: '^deploy/client/src/node\\.ts$' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'migrations-stand-alone',
      comment: 'migrations/ may import only pg and node:*: it has to run before, and without, the rest.',
      severity: 'error',
      from: { path: '^migrations/' },
      to: { pathNot: '^(migrations/|node_modules/(pg|@types/pg)/)', dependencyTypesNot: ['core'] },
    },
    {
      name: 'only-deploy-migrates',
      comment: 'The running processes do not migrate: only deploy/ and test/ may import migrations/.',
      severity: 'error',
      from: { pathNot: '^(deploy|test|migrations)/' },
      to: { path: '^migrations/' },
    },
    {
      name: 'nothing-imports-test',
      comment: 'What the product needs does not belong into test/: move it to the layer that owns it.',
      severity: 'error',
      from: { pathNot: '^test/' },
      to: { path: '^test/' },
    },
    {
      name: 'no-development-dependency-in-production',
      comment: 'This package is a devDependency, which a production install leaves out: move it to dependencies.',
      severity: 'error',
      // Generators are run by developers.
      from: { path: `^(${LAYERS.join('|')}|migrations)/`, pathNot: '^deploy/client/generate/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'], pathNot: '/@types/' },
    },
    {
      name: 'no-cycles',
      comment:
        'These files import each other in a circle (a type counts, too): move what both need into a file of its own.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-folder-cycles',
      comment:
        'These folders import each other in a circle: move the file to the folder that uses it, or turn the import around.',
      severity: 'error',
      scope: 'folder',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-unresolvable',
      comment: 'This import leads nowhere: correct the path, or add the package to dependencies.',
      severity: 'error',
      from: {},
      // Installed only by the benchmark that needs them.
      to: { couldNotResolve: true, pathNot: '^@(dbos-inc|restatedev)/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // Built from deploy/client/src.
    exclude: { path: '^deploy/client/dist/' },
    // Imports as they are written; 'specify' would also compile each file, to tell which of them remain.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
