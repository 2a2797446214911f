import { createCustomer } from '../../../activities/operations/create-customer.ts';
import { problemOf } from '../../client/src/answers.ts';
import { writeKeyOf } from '../../isolation/isolation.ts';
import { type Client, pause, underLoad } from '../load.ts';
import { type Books, payment, planned, prepareBooks } from '../mix.ts';
import type { ChaosSent, Planned, Scenario, Stage } from '../scenario.ts';

const KEYS_AT_ONCE = 4;

export const keyCollision: Scenario = {
  name: 'key-collision',
  promise:
    'One key with other content, another operation or in another company at the same moment: one write in each company.',
  needs: [],
  companies: 2,
  async run(stage) {
    const books = await prepareBooks(stage, 1);
    const ran = await underLoad(stage, clientsOf(stage, books), {
      async trouble() {
        await pause(stage, stage.seconds * 1_000);
        return [];
      },
    });
    const refused = ran.sent.filter(isRefused);
    const sent = ran.sent.filter((one) => !isRefused(one));
    const keys = new Set(ran.sent.map(keyOf)).size;
    const winners = new Set(sent.map((one) => `${keyOf(one)} ${contentOf(one)}`)).size;
    return {
      ...ran,
      sent,
      facts: { 'refused with idempotency_key_reused': refused.length },
      violations: [
        ...(winners === keys ? [] : [`${winners} contents were accepted under ${keys} keys`]),
        ...(refused.length > 0 ? [] : ['no key collided: nothing is proven']),
      ],
    };
  },
};

/** Each sends all that collides under its key at the same moment. */
function clientsOf(stage: Stage, books: readonly Books[]): Client[] {
  return Array.from({ length: KEYS_AT_ONCE }, (_, client): Client => {
    return (_random, count) => books.flatMap((of) => variantsOf(of, `${stage.run}:${client}:${count}`));
  });
}

function variantsOf({ tenant, invoiceIds: [invoiceId = ''] }: Books, key: string): Planned[] {
  return [
    payment(tenant, invoiceId, key, 1),
    payment(tenant, invoiceId, key, 2),
    planned(tenant, createCustomer, createCustomer.path, key, { name: 'Chaos' }),
  ];
}

function isRefused({ submitted }: ChaosSent): boolean {
  return submitted.final !== undefined && problemOf(submitted.final)?.code === 'idempotency_key_reused';
}

function keyOf({ tenant, write }: ChaosSent): string {
  return writeKeyOf(tenant, write);
}

function contentOf({ write }: ChaosSent): string {
  return `${write.path} ${write.body}`;
}
