import { randomUUID } from 'node:crypto';
import { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { inject } from 'vitest';
import { updateCompanySettings } from '../../activities/operations/update-company-settings.ts';
import type { ClosedMonth } from '../../workflows/close-month.ts';
import type { ClosingResult, EventActivities, MonthCheck, StepWrite } from '../../workflows/event-messages.ts';
import type { RunResult } from '../../workflows/messages.ts';
import { writeArguments } from './write-arguments.ts';

/** What the activities of a played run answer, by how often they were asked before. */
export type Played = {
  check(before: number): MonthCheck;
  write?(before: number): RunResult;
};

/** Runs the workflow closeMonth with activities that are played here: no company, no books. */
export async function playClosing({ check, write }: Played) {
  const kept: ClosingResult[] = [];
  const writes: StepWrite[] = [];
  let [checks, attempts] = [0, 0];
  const id = randomUUID();
  const company = { id: randomUUID(), users: { owner: { id: randomUUID(), email: '' } } };
  const activities: Pick<
    EventActivities,
    'readTrigger' | 'checkMonth' | 'keepResult' | 'prepareWrite' | 'findApproval' | 'readRejection'
  > & {
    runOperation(): Promise<RunResult>;
  } = {
    readTrigger: async () => ({ userId: 'somebody', payload: {} }),
    checkMonth: async () => check(checks++),
    keepResult: async (_trigger, result) => {
      kept.push(result);
    },
    prepareWrite: async (_trigger, _userId, step) => {
      writes.push(step);
      const args = writeArguments(company as never, updateCompanySettings, step.body, step.step);
      return { args, workflowId: `${id}:${step.step}`, summary: 'played' };
    },
    findApproval: async () => 'none',
    readRejection: async () => null,
    runOperation: async () => {
      if (write === undefined) throw new Error('Nothing is written here');
      return write(attempts++);
    },
  };
  const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  try {
    const workflowBundle = { codePath: inject('bundlePath') };
    const worker = await Worker.create({ connection, taskQueue: id, workflowBundle, activities });
    const args = [{ companyId: company.id, triggerId: 'played', writeTaskQueue: id }];
    const running = { workflowId: id, taskQueue: id, args };
    const closed: ClosedMonth = await worker.runUntil(
      new Client({ connection }).workflow.execute('closeMonth', running),
    );
    return { closed, kept, writes, checks };
  } finally {
    await connection.close();
  }
}
