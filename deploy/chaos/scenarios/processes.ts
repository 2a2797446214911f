import { inTurns, underLoad } from '../load.ts';
import { mixedClients, prepareBooks } from '../mix.ts';
import { freeze, kill, VICTIMS, type Victim } from '../processes.ts';
import type { Ran, Scenario, Stage, Trouble } from '../scenario.ts';

const CLIENTS_EACH = 4;
const PAUSE_MS = 100;

const NAMES: Readonly<Record<Victim, string>> = {
  postgres: 'PostgreSQL',
  temporal: 'Temporal',
  api: 'the API',
  worker: 'the worker',
};

export const processScenarios: readonly Scenario[] = [
  ...VICTIMS.map((victim) =>
    scenario(victim, 'kill', `Nothing is lost or made twice when ${NAMES[victim]} is killed.`),
  ),
  ...VICTIMS.map((victim) =>
    scenario(
      victim,
      'freeze',
      `Nothing is lost or made twice when ${NAMES[victim]} stops for ten seconds and goes on.`,
    ),
  ),
];

function scenario(victim: Victim, what: 'kill' | 'freeze', promise: string): Scenario {
  const act = what === 'kill' ? kill : freeze;
  return {
    name: `${what}-${victim}`,
    promise,
    needs: ['local'],
    companies: 4,
    run: (stage) => withTrouble(stage, () => act(victim, stage)),
  };
}

async function withTrouble(stage: Stage, once: () => Promise<Trouble>): Promise<Ran> {
  const books = await prepareBooks(stage, 4);
  return underLoad(stage, mixedClients(stage, books, CLIENTS_EACH), {
    pauseMs: PAUSE_MS,
    trouble: () => inTurns(stage, once),
  });
}
