import { type WorkflowInterceptors, workflowInfo } from '@temporalio/workflow';
import { AUDIT_MAINTENANCE_WORKFLOW_TYPE } from './maintenance-messages.ts';
import { RESULT_REFUSED, RUN_REFUSED, refusal, requireOurs } from './refused.ts';

/** Of every workflow: ends the run as failed at the first payload that the codec has refused. */
export function interceptors(): WorkflowInterceptors {
  return {
    inbound: [
      {
        async execute(input, next) {
          for (const argument of input.args) requireOurs(argument, RUN_REFUSED);
          if (input.args.length === 0 && workflowInfo().workflowType !== AUDIT_MAINTENANCE_WORKFLOW_TYPE) {
            throw refusal('it is missing', RUN_REFUSED);
          }
          return next(input);
        },
      },
    ],
    outbound: [
      {
        async scheduleActivity(input, next) {
          return requireOurs(await next(input), RESULT_REFUSED);
        },
        async scheduleLocalActivity(input, next) {
          return requireOurs(await next(input), RESULT_REFUSED);
        },
        async startChildWorkflowExecution(input, next) {
          const [started, result] = await next(input);
          const checked = result.then((value) => requireOurs(value, RESULT_REFUSED));
          // As in the SDK: whoever does not wait for the child does not learn of its failure.
          checked.catch(() => undefined);
          return [started, checked];
        },
      },
    ],
  };
}
