import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { freeLoopbackPort } from '../../../../worker/free-port.ts';
import type { Contender, Stage } from './contender.ts';
import { startOurs } from './ours.ts';
import { startPeer } from './peer.ts';
import { startRestateServer } from './restate-server.ts';
import { startTemporalServer } from './temporal-server.ts';
import { packageVersion } from './versions.ts';

const AUDIT_BY_HAND = 'by hand: here an audit row and a company column, which nothing enforces';

/** In the order of the table. */
export const CONTENDERS: readonly Contender[] = [
  {
    name: 'sql',
    title: 'plain SQL',
    promises: 'once per key, by the key row; what a killed process had begun is not finished until a client repeats it',
    auditAndCompanies: AUDIT_BY_HAND,
    installed: false,
    start: (stage) => startPeer(stage, { script: 'sql', version: sqlVersion() }),
  },
  {
    name: 'one-statement',
    title: 'one statement',
    promises: 'the same as plain SQL',
    auditAndCompanies: AUDIT_BY_HAND,
    installed: false,
    start: (stage) => startPeer(stage, { script: 'one-statement', version: sqlVersion() }),
  },
  {
    name: 'dbos',
    title: 'DBOS',
    promises: 'a workflow that was started is finished; one result per workflow ID, whatever the input was',
    auditAndCompanies: AUDIT_BY_HAND,
    installed: true,
    start: (stage) =>
      startPeer(stage, {
        script: 'dbos',
        version: `SDK ${packageVersion('@dbos-inc/dbos-sdk')}`,
        databases: { DBOS_DATABASE_URL: 'peers_dbos' },
      }),
  },
  {
    name: 'restate',
    title: 'Restate',
    promises:
      'an invocation that was accepted is finished; one result per key and handler, whatever the input was, for 24 hours by default',
    auditAndCompanies: AUDIT_BY_HAND,
    installed: true,
    start: startRestate,
  },
  {
    name: 'temporal',
    title: 'bare Temporal',
    promises:
      'a workflow that was started is finished; one result per workflow ID, whatever the input was, within the retention',
    auditAndCompanies: AUDIT_BY_HAND,
    installed: false,
    start: startBareTemporal,
  },
  {
    name: 'ours',
    title: 'ours',
    promises:
      'a write that was accepted is finished; one outcome per company and key for ever, only for the same request',
    auditAndCompanies:
      'append-only audit log, roles read at each write, row-level security, balanced entries and paid amounts checked by the database',
    installed: false,
    start: (stage) => startOurs(stage, ownFolder(stage, 'ours')),
  },
];

async function startRestate(stage: Stage) {
  const engine = await startRestateServer(stage, ownFolder(stage, 'restate'));
  const handlerPort = await freeLoopbackPort();
  return startPeer(stage, {
    script: 'restate',
    version: `server ${packageVersion('@restatedev/restate-server')}, SDK ${packageVersion('@restatedev/restate-sdk')}`,
    engine,
    environment: { RESTATE_HANDLER_PORT: String(handlerPort), RESTATE_INGRESS_URL: engine.ingressUrl },
    afterStart: () => engine.register(handlerPort),
  });
}

async function startBareTemporal(stage: Stage) {
  const folder = ownFolder(stage, 'temporal');
  // As for ours, the workflows are bundled once and not at each start.
  const bundle = join(folder, 'workflow-bundle.js');
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../apps/temporal-workflow.ts', import.meta.url)),
    logger: new DefaultLogger('ERROR'),
  });
  writeFileSync(bundle, code);
  const engine = await startTemporalServer(stage, folder);
  return startPeer(stage, {
    script: 'temporal',
    version: `CLI ${engine.version}, SDK ${packageVersion('@temporalio/worker')}`,
    engine,
    environment: { TEMPORAL_ADDRESS: engine.address, WORKFLOW_BUNDLE: bundle },
  });
}

/** A new one for each start, so that no engine finds its records of an earlier round. */
function ownFolder(stage: Stage, name: string): string {
  return mkdtempSync(join(stage.folder, `${name}-`));
}

function sqlVersion(): string {
  return `fastify ${packageVersion('fastify')}, pg ${packageVersion('pg')}`;
}
