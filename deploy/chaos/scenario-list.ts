import type { Scenario } from './scenario.ts';
import { clientTimeOut, multiTenantStorm } from './scenarios/clients.ts';
import { deadlock } from './scenarios/deadlock.ts';
import { eventDeliveryFailure } from './scenarios/event-delivery.ts';
import { keyCollision } from './scenarios/key-collision.ts';
import { poolExhaustion, transactionRollback } from './scenarios/locked-rows.ts';
import { partialWorkflow } from './scenarios/partial-workflow.ts';
import { processScenarios } from './scenarios/processes.ts';
import { soak } from './scenarios/soak.ts';

/** In the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [
  transactionRollback,
  eventDeliveryFailure,
  clientTimeOut,
  deadlock,
  partialWorkflow,
  keyCollision,
  multiTenantStorm,
  poolExhaustion,
  ...processScenarios,
  soak,
];
