import { z } from 'zod';
import type { Tx } from '../database.ts';
import { document } from '../fields.ts';
import { defineOperation, WORKFLOW_TRIGGERED, type WriteContext } from '../operation.ts';
import { jsonPointer } from '../problem.ts';
import { payloadsInWords, REGISTERED_WORKFLOWS, type RegisteredWorkflow } from '../registered-workflows.ts';
import { TRIGGER_COLUMNS, type TriggerRow, toTrigger, triggerResource } from '../resources/trigger.ts';
import { holdsOneOf } from '../roles.ts';

export const triggerWorkflow = defineOperation({
  name: 'triggerWorkflow',
  type: 'high-risk',
  summary: 'Start a registered workflow, once',
  description:
    '`sendInvoiceReminders` records a reminder for each overdue invoice and due step (`asOf`: overdue as of that day, by ' +
    'default today; owner, admin, manager). `closeMonth` closes the books `through` a day, by default the end of last month, if ' +
    'the controls hold as of that day, no bank transaction up to it is unreconciled, and no approved pay run up to it is ' +
    'unexecuted (owner, admin). The `result` of its trigger names what is in the way. A workflow makes its writes as the member ' +
    'who triggered it, under the keys `trigger:{triggerId}:{step}`.',
  method: 'POST',
  path: '/api/workflows/:name/trigger',
  params: z.strictObject({
    // Any name that a release could ever register: an unknown one is a stored 404, as for any other ID.
    name: z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$/, 'must be the name of a workflow'),
  }),
  body: z.strictObject({ payload: document().default({}).meta({ description: payloadsInWords() }) }),
  schemaVersion: 2,
  roles: ['owner', 'admin', 'manager'],
  successStatus: 201,
  resource: triggerResource,
  event: WORKFLOW_TRIGGERED,
  effects: { posts: 'never', makes: 'workflow_triggers' },
  rejections: {
    workflow_not_registered: { status: 404, title: 'There is no such workflow', nextAction: 'fix_request' },
    workflow_payload_invalid: {
      status: 422,
      title: 'The payload is not valid for this workflow',
      nextAction: 'fix_request',
    },
  },
  constraints: {},
  examples: [
    {
      name: 'trigger',
      summary: 'Reminders for the invoices overdue on that day',
      params: { name: 'sendInvoiceReminders' },
      body: { payload: { asOf: '2026-01-31' } },
    },
  ],
  summarize: ({ params }) => `triggerWorkflow ${params.name}`,

  async write(tx, { params: { name }, body: { payload } }, context) {
    const workflow = REGISTERED_WORKFLOWS.find((registered) => registered.name === name);
    if (workflow === undefined) {
      const names = REGISTERED_WORKFLOWS.map((registered) => registered.name).join(', ');
      throw context.reject(
        'workflow_not_registered',
        `There is no workflow ${name}. The registered ones are ${names}.`,
        '/name',
        'path',
      );
    }
    await refuseUnlessAllowed(tx, workflow, context);
    refuseUnlessTaken(workflow, payload, context);
    const [row] = await tx.query<TriggerRow>(
      `INSERT INTO workflow_triggers (company_id, id, workflow_name, workflow_id, payload, user_id)
       VALUES ($1, $2, $3, $4, $5, $6) RETURNING ${TRIGGER_COLUMNS}`,
      [
        context.companyId,
        context.writeId,
        name,
        context.rowId('outbox', 0), // the event's ID, which is also the workflow's ID
        JSON.stringify(payload),
        context.userId,
      ],
    );
    if (row === undefined) throw new Error('Bug! The INSERT returned no row');
    return { resourceId: row.id, body: toTrigger(row), eventPayload: { workflowName: name } };
  },
});

/** Asked in the transaction, where a key that has an outcome is answered from its row: a release may take less than the one before. */
function refuseUnlessTaken(
  { name, payload: schema }: RegisteredWorkflow,
  payload: Readonly<Record<string, unknown>>,
  context: WriteContext<'workflow_payload_invalid'>,
): void {
  const [issue] = schema.safeParse(payload).error?.issues ?? [];
  if (issue === undefined) return;
  if (issue.code === 'unrecognized_keys') {
    const [unknown = ''] = issue.keys;
    const taken = Object.keys(schema.shape).join(', ');
    const detail = `${name}: ${unknown} is not a member of its payload. It takes ${taken}.`;
    throw context.reject('workflow_payload_invalid', detail, pointerOf([...issue.path, unknown]));
  }
  throw context.reject('workflow_payload_invalid', `${name}: ${issue.message}.`, pointerOf(issue.path));
}

function pointerOf(path: readonly PropertyKey[]): `/${string}` {
  return jsonPointer(['payload', ...path]) as `/${string}`;
}

async function refuseUnlessAllowed(
  tx: Tx,
  { name, roles }: RegisteredWorkflow,
  context: WriteContext<'forbidden'>,
): Promise<void> {
  const [member] = await tx.query<{ roles: string[] }>(
    'SELECT roles FROM memberships WHERE company_id = $1 AND user_id = $2',
    [context.companyId, context.userId],
  );
  if (holdsOneOf(member?.roles ?? [], roles)) return;
  throw context.reject('forbidden', `${name} needs one of the roles ${roles.join(', ')}.`, '/name', 'path');
}
