import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { updateCompanySettings } from '../../../activities/operations/update-company-settings.ts';
import { signedHeaders } from '../../../activities/webhooks/secrets.ts';
import { asAuditor } from '../../cli/auditor.ts';
import type { Tenant } from '../../cli/target.ts';
import { problemOf } from '../../client/src/answers.ts';
import { submitWrite } from '../../client/src/submit-write.ts';
import { type Call, startReceiver } from '../../load/relay/receiver.ts';
import { createRandom, seededNumbers } from '../../simulate/requests/random.ts';
import { pause, underLoad } from '../load.ts';
import { mixedClients, planned, prepareBooks } from '../mix.ts';
import { CannotRun, type ChaosSent, NEEDS, type Scenario, type Stage } from '../scenario.ts';
import { databaseOf } from './locked-rows.ts';

const CLIENTS_EACH = 2;
const PAUSE_MS = 200;
/** The second repetition of a call comes 30 s after the first, the third 2 minutes later. */
const DELIVERY_TIMEOUT_MS = 240_000;
/** So that no event waits for its fourth call, which comes ten minutes after the third. */
const LONGEST_FAILING_MS = 30_000;
const POLL_MS = 500;

export const eventDeliveryFailure: Scenario = {
  name: 'event-delivery-failure',
  promise:
    'A receiver that fails, hangs and cuts connections gets every event in the end, signed; none is lost or given up.',
  needs: ['database', 'receiver'],
  companies: 3,
  async run(stage) {
    const inbox = createInbox(stage);
    const receiver = await startReceiver(inbox.answer);
    try {
      for (const tenant of stage.target.tenants)
        inbox.secrets.set(tenant.companyId, await setWebhook(stage, tenant, receiver.url));
      const books = await prepareBooks(stage, 2);
      const ran = await underLoad(stage, mixedClients(stage, books, CLIENTS_EACH), {
        pauseMs: PAUSE_MS,
        async trouble() {
          await pause(stage, (stage.seconds * 1_000) / 3);
          const beganAt = performance.now();
          inbox.failing = true;
          await pause(stage, Math.min(LONGEST_FAILING_MS, (stage.seconds * 1_000) / 3));
          inbox.failing = false;
          const endedAt = performance.now();
          await pause(stage, (stage.seconds * 1_000) / 3);
          return [{ beganAt, endedAt }];
        },
      });
      const events = await untilDelivered(stage, ran.sent);
      const lost = events.filter(({ id }) => !inbox.accepted.has(id)).length;
      const notDelivered = events.filter(({ state }) => state !== 'delivered').length;
      return {
        ...ran,
        facts: {
          events: events.length,
          'calls that failed on purpose': inbox.failed,
          'events received': events.length - lost,
          'calls for an event that had been received': inbox.repeated,
        },
        violations: [
          ...(lost === 0 ? [] : [`${lost} events were never received`]),
          ...(notDelivered === 0 ? [] : [`${notDelivered} events are not delivered`]),
          ...(inbox.unsigned === 0 ? [] : [`${inbox.unsigned} calls without a valid signature`]),
          ...(inbox.failed > 0 ? [] : ['no call failed: nothing is proven']),
        ],
      };
    } finally {
      for (const tenant of stage.target.tenants) await changeSettings(stage, tenant, null);
      await receiver.close();
    }
  },
};

function createInbox(stage: Stage) {
  const random = createRandom(seededNumbers(`${stage.seed}:receiver`), 0);
  const inbox = {
    failing: false,
    secrets: new Map<string, string>(),
    accepted: new Set<string>(),
    failed: 0,
    repeated: 0,
    unsigned: 0,
    answer(call: Call, response: ServerResponse): void {
      if (!isSigned(call, inbox.secrets)) inbox.unsigned += 1;
      if (inbox.failing) {
        inbox.failed += 1;
        random.pick(FAILURES)(response);
        return;
      }
      const id = String(call.headers['webhook-id']);
      if (inbox.accepted.has(id)) inbox.repeated += 1;
      inbox.accepted.add(id);
      response.writeHead(204).end();
    },
  };
  return inbox;
}

const FAILURES: readonly ((response: ServerResponse) => void)[] = [
  (response) => response.writeHead(500).end(),
  // Hangs until the caller gives up.
  () => undefined,
  (response) => response.socket?.destroy(),
];

/** As a receiver checks it: by the secret of the company that the body names. */
function isSigned({ headers, text }: Call, secrets: ReadonlyMap<string, string>): boolean {
  const { data } = JSON.parse(text) as { data: { companyId: string } };
  const secret = secrets.get(data.companyId);
  if (secret === undefined) return false;
  const message = {
    id: String(headers['webhook-id']),
    timestampSeconds: Number(headers['webhook-timestamp']),
    body: text,
  };
  return signedHeaders(message, [secret])['webhook-signature'] === headers['webhook-signature'];
}

/** Returns the company's secret. */
async function setWebhook(stage: Stage, tenant: Tenant, url: string): Promise<string> {
  const { http } = stage;
  const final = await changeSettings(stage, tenant, url);
  const problem = final === undefined ? undefined : problemOf(final);
  if (problem?.code === 'webhook_url_not_allowed') throw new CannotRun(NEEDS.receiver);
  const { text } = await http.send({ method: 'GET', path: '/api/company/webhook-secret', token: tenant.token });
  const { secret } = JSON.parse(text) as { secret?: string };
  if (secret === undefined) throw new CannotRun(NEEDS.receiver);
  return secret;
}

async function changeSettings({ http, run }: Stage, tenant: Tenant, webhookUrl: string | null) {
  const { path } = updateCompanySettings;
  const { text } = await http.send({ method: 'GET', path, token: tenant.token });
  const { version } = JSON.parse(text) as { version: number };
  const key = `${run}:webhook:${version}`;
  const { write } = planned(tenant, updateCompanySettings, path, key, { expectedVersion: version, webhookUrl });
  return (await submitWrite(http, write, { deadlineMs: DELIVERY_TIMEOUT_MS })).final;
}

type Delivery = { readonly id: string; readonly state: string };

/** The events of the writes, once none of them is pending or the time is over. */
async function untilDelivered(stage: Stage, sent: readonly ChaosSent[]): Promise<readonly Delivery[]> {
  const deadline = performance.now() + DELIVERY_TIMEOUT_MS;
  for (;;) {
    const events = await readDeliveries(stage, sent);
    const pending = events.filter(({ state }) => state === 'none' || state === 'pending').length;
    if (pending === 0 || performance.now() > deadline) return events;
    stage.progress.update(`${pending} events to deliver`);
    await sleep(POLL_MS, undefined, { signal: stage.signal });
  }
}

function readDeliveries(stage: Stage, sent: readonly ChaosSent[]): Promise<readonly Delivery[]> {
  return asAuditor(databaseOf(stage), async (auditor) => {
    const { rows } = await auditor.query<Delivery>(
      `SELECT o.id, o.delivery_state AS state
       FROM unnest($1::uuid[], $2::text[]) AS s (company_id, key)
       JOIN idempotent_writes w ON w.company_id = s.company_id AND w.idempotency_key = s.key
       JOIN outbox o ON o.company_id = w.company_id AND o.write_id = w.write_id
       GROUP BY o.company_id, o.id`,
      [sent.map(({ tenant }) => tenant.companyId), sent.map(({ write }) => write.key)],
    );
    return rows;
  });
}
