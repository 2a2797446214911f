import type { Http } from '../../client/src/http.ts';
import type { Random } from '../../simulate/requests/random.ts';
import { pause, underLoad } from '../load.ts';
import { mixedClients, prepareBooks } from '../mix.ts';
import type { Scenario, Stage } from '../scenario.ts';

const CLIENTS_EACH = 4;
const SHORTEST_MS = 20;
const LONGEST_MS = 300;
/** From then on it is patient: on a slow machine no write may ever take so little. */
const IMPATIENT_REQUESTS = 5;

export const clientTimeOut: Scenario = {
  name: 'client-time-out',
  promise: 'Clients that give up after 20 to 300 ms and repeat their key get the one outcome.',
  needs: [],
  companies: 4,
  async run(stage) {
    const books = await prepareBooks(stage, 2);
    const gaveUp = { count: 0 };
    const ran = await underLoad(stage, mixedClients(stage, books, CLIENTS_EACH), {
      http: (random) => impatient(stage.http, random, () => (gaveUp.count += 1)),
      async trouble() {
        await pause(stage, stage.seconds * 1_000);
        return [];
      },
    });
    return {
      ...ran,
      facts: { 'requests given up by clients': gaveUp.count },
      violations: gaveUp.count > 0 ? [] : ['no client gave up: nothing is proven'],
    };
  },
};

/** Of one write. */
function impatient(http: Http, random: Random, onGivenUp: () => void): Http {
  let requests = 0;
  return {
    ...http,
    async send(request) {
      requests += 1;
      if (requests > IMPATIENT_REQUESTS) return http.send(request);
      const signal = AbortSignal.timeout(SHORTEST_MS + random.nat(LONGEST_MS - SHORTEST_MS));
      signal.addEventListener('abort', onGivenUp, { once: true });
      try {
        return await http.send({ ...request, signal });
      } finally {
        signal.removeEventListener('abort', onGivenUp);
      }
    },
  };
}

const REQUESTS_EACH = 50;
const STORM_CLIENTS_EACH = 2;

export const multiTenantStorm: Scenario = {
  name: 'multi-tenant-storm',
  promise: 'A hundred companies with fifty writes each, all at once and under the same keys, stay apart.',
  needs: [],
  companies: 100,
  async run(stage: Stage) {
    const books = await prepareBooks(stage, 1);
    return underLoad(stage, mixedClients(stage, books, STORM_CLIENTS_EACH, REQUESTS_EACH / STORM_CLIENTS_EACH));
  },
};
