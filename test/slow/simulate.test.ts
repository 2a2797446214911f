import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DATABASE_CHECKS } from '../../activities/auditor/checks.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { asAuditor } from '../../deploy/cli/auditor.ts';
import type { Subject } from '../../deploy/contract/subject.ts';
import { checkAnswers } from '../../deploy/simulate/check-answers.ts';
import { checkApprovals } from '../../deploy/simulate/check-approvals.ts';
import { growth, type Tally } from '../../deploy/simulate/metrics.ts';
import { planHour } from '../../deploy/simulate/plan.ts';
import { reportOn } from '../../deploy/simulate/report.ts';
import type { Outcome } from '../../deploy/simulate/run.ts';
import { type Simulation, simulate } from '../../deploy/simulate/simulate.ts';
import { isDecision, type Step } from '../../deploy/simulate/step.ts';
import { runsCheck } from '../../worker/auditor/runs-check.ts';
import { auditIn } from '../support/audit.ts';
import { inForm } from '../support/form.ts';
import { sealAllOf } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';

const SILENT = { update() {}, done() {} };
const SEED = 'of-the-test';

describe('a simulated hour', () => {
  let system: System;
  let subject: Subject;
  let run: Simulation;
  beforeAll(async () => {
    system = await startSystem();
    subject = await subjectOf(system, 2);
    const metricsUrls = [`${system.url}/metrics`];
    const operations = inForm({ short: 300, long: 1_000 });
    run = await simulate(subject, { seed: SEED, operations, concurrency: 16, metricsUrls }, SILENT);
  }, 300_000);
  afterAll(() => system.stop());

  test('adds up: books, record, metrics and answers', () => {
    const report = reportOn(run, SEED);
    expect(report.differences).toEqual([]);
    expect(report.metrics).not.toBeNull();
    expect(report.controls.length).toBeGreaterThan(20);
  });

  test('leaves nothing for the auditor to find, in the database or among the runs', async () => {
    await sealAllOf(system);
    const taskQueue = system.environment['TEMPORAL_TASK_QUEUE'] ?? '';
    const checks = [...DATABASE_CHECKS, runsCheck({ client: system.temporal, taskQueue, lagMs: 0 })];
    const { named, couldNotAsk, checked } = await asAuditor(subject.databaseUrl, (auditor) =>
      auditIn(auditor, { checks }),
    );
    expect(named).toEqual([]);
    expect(couldNotAsk).toEqual([]);
    expect(checked.writes).toBeGreaterThan(200);
  });

  test('has every operation succeed, and duplicates, mismatches, cancels, decisions and refusals beside them', () => {
    const { operations, kinds } = reportOn(run, SEED);
    const idle = operations.filter(({ succeeded }) => succeeded === 0).map(({ operation }) => operation);
    expect(idle).toEqual([]);
    expect(operations.length).toBe(OPERATIONS.length);
    expect(Object.keys(kinds).toSorted()).toEqual([
      'approve',
      'cancel',
      'duplicate',
      'invalid',
      'mismatch',
      'reject',
      'write',
    ]);
    expect(operations.reduce((sum, { rejected }) => sum + rejected, 0)).toBeGreaterThan(10);
    expect(operations.reduce((sum, { waited }) => sum + waited, 0)).toBeGreaterThan(10);
  });

  test('has every decision that is refused, in the plan of a longer one', () => {
    const steps = planHour({ seed: SEED, operations: 5_000, companies: companiesOf(run, subject) });
    const codes = new Set(steps.filter(isDecision).map(({ refused = 'made' }) => refused));
    expect([...codes].toSorted()).toEqual([
      'already_decided',
      'approval_not_pending',
      'approver_is_requester',
      'forbidden',
      'made',
      'not_a_member',
    ]);
    const ends = steps.filter((step) => step.ends);
    const codesOfEnds = new Set(ends.map(({ refused = 'open' }) => refused));
    expect([...codesOfEnds]).toEqual(expect.arrayContaining(['approval_rejected', 'open', 'write_cancelled']));
    expect(ends.some(({ approvedBy }) => approvedBy?.length === 2)).toBe(true);
    // What comes of them is planned for each.
    const waiting = steps.filter(({ asked }) => asked !== undefined && asked.length > 0);
    const placesOf = (some: readonly Step[]) => new Set(some.map(({ company, key }) => `${company} ${key}`));
    expect(placesOf(ends)).toEqual(placesOf(waiting));
  });

  test('is the same again with the same seed, and another with another', () => {
    const sent = (seed: string) =>
      planHour({ seed, operations: 300, companies: companiesOf(run, subject) })
        // Another body may name a random ID where nothing else about it could be changed.
        .filter(({ kind }) => kind !== 'mismatch')
        .map(({ key, path, body, kind, after }) => JSON.stringify([key.split(':').at(-1), path, body, kind, after]));
    expect(sent('one')).toEqual(sent('one'));
    expect(sent('one')).not.toEqual(sent('two'));
  });

  test('is not sent into companies that have seen it', async () => {
    const again = simulate(subject, { seed: SEED, operations: 10, concurrency: 1, metricsUrls: [] }, SILENT);
    await expect(again).rejects.toThrow(/have seen the seed/);
  });

  describe('finds', () => {
    /** The promises that do not hold when the run had been answered this instead. */
    const broken = async (outcomes: readonly Outcome[], companyIds = run.companyIds) => {
      const shared = [subject.auditorId, subject.newcomerId];
      const findings = await asAuditor(subject.databaseUrl, async (auditor) => [
        ...(await checkAnswers(auditor, outcomes, companyIds, shared)),
        ...(await checkApprovals(auditor, outcomes, companyIds)),
      ]);
      return findings.filter(({ wrong }) => wrong.length > 0).map(({ promise }) => promise);
    };
    const one = (fits: (outcome: Outcome) => boolean, change: (outcome: Outcome) => Outcome) => {
      const index = run.outcomes.findIndex(fits);
      expect(index).not.toBe(-1);
      return run.outcomes.with(index, change(run.outcomes[index] as Outcome));
    };
    const answered = (outcome: Outcome, change: Partial<NonNullable<Outcome['final']>>): Outcome => ({
      ...outcome,
      final: { ...(outcome.final as NonNullable<Outcome['final']>), ...change },
    });
    const isFirst = ({ step, final }: Outcome) => step.kind === 'write' && final?.status === 201 && !final.replayed;
    const isReplay = ({ step, final }: Outcome) => step.kind === 'duplicate' && final?.status === 201 && final.replayed;

    test('nothing in the run as it was', async () => {
      expect(await broken(run.outcomes)).toEqual([]);
    });

    test('a request without an answer', async () => {
      const outcomes = one(isFirst, (outcome) => ({ ...outcome, final: undefined }));
      expect(await broken(outcomes)).toEqual(['Every request has a final answer']);
    });

    test.each([{ status: 200 }, { text: '{}' }, { location: '/api/elsewhere' }])(
      'an answer that is not what is stored: %o',
      async (change) => {
        const outcomes = one(isFirst, (outcome) => answered(outcome, change));
        expect(await broken(outcomes)).toEqual([
          'An acknowledged write is stored with the same status, bytes and Location',
        ]);
      },
    );

    test('a key that is lost', async () => {
      const outcomes = one(isFirst, (outcome) => ({ ...outcome, step: { ...outcome.step, key: 'never stored' } }));
      expect(await broken(outcomes)).toContain('A key that was sent is in the record');
    });

    test('a write that no one has sent', async () => {
      const key = run.outcomes.find(isFirst)?.step.key;
      const outcomes = run.outcomes.filter(({ step }) => step.key !== key);
      expect(await broken(outcomes)).toContain('A key is in the record as it was sent, or by a triggered workflow');
    });

    test('a second first answer', async () => {
      // The first answer of some keys was lost with its connection.
      const place = ({ step: { company, key } }: Outcome) => `${company}/${key}`;
      const answeredFirst = new Set(run.outcomes.filter(isFirst).map(place));
      const isSecond = (outcome: Outcome) => isReplay(outcome) && answeredFirst.has(place(outcome));
      const outcomes = one(isSecond, (outcome) => answered(outcome, { replayed: false }));
      expect(await broken(outcomes)).toEqual(['A key has at most one first answer; all others have the marker']);
    });

    test('another body that was answered as if it were the stored one', async () => {
      const isOther = ({ final }: Outcome) => final?.text.includes('idempotency_key_reused') === true;
      const outcomes = one(isOther, (outcome) => answered(outcome, { status: 201, text: '{}' }));
      expect(await broken(outcomes)).toContain('Another body under a key is refused; the same body never is');
    });

    test('a cancel that says the other thing', async () => {
      const tooLate = { status: 409, text: '{"code":"too_late","nextAction":"none"}' };
      const outcomes = one(
        ({ step }) => step.kind === 'cancel',
        (outcome) => answered(outcome, outcome.final?.status === 200 ? tooLate : { status: 200, text: '{}' }),
      );
      expect(await broken(outcomes)).toEqual(['A cancel and its write agree which came first']);
    });

    test('a request that had to be refused, and was with another code', async () => {
      const outcomes = one(isFirst, (outcome) => ({ ...outcome, step: { ...outcome.step, refused: 'sku_taken' } }));
      expect(await broken(outcomes)).toEqual(['A request that cannot succeed gets the expected code']);
    });

    test('an invalid request that left something', async () => {
      const outcomes = one(isReplay, (outcome) => ({ ...outcome, step: { ...outcome.step, kind: 'invalid' } }));
      expect(await broken(outcomes)).toContain('An invalid request stores nothing');
    });

    test('an answer that names what is another company’s', async () => {
      const isCancel = ({ step, final }: Outcome) => step.kind === 'cancel' && final?.status === 200;
      const company = run.outcomes.find(isCancel)?.step.company;
      const theirs = run.outcomes.find((outcome) => {
        return outcome.step.company !== company && outcome.step.operation.name === 'createCustomer' && isFirst(outcome);
      });
      const outcomes = one(isCancel, (outcome) => answered(outcome, { text: theirs?.final?.text ?? '' }));
      expect(await broken(outcomes)).toEqual(['No answer contains an ID of another company']);
    });

    describe('of what waits for its approval', () => {
      const planned = (fits: (outcome: Outcome) => boolean, change: Partial<Step>) =>
        broken(one(fits, (outcome) => ({ ...outcome, step: { ...outcome.step, ...change } })));
      const isAsked = ({ step, final }: Outcome) =>
        step.kind === 'write' && final?.status === 202 && step.asked !== undefined;
      const isMade = ({ step, final }: Outcome) => isDecision(step) && final?.status === 200 && !step.atOnce;
      const isApproved = ({ step, final }: Outcome) => step.approvedBy !== undefined && (final?.status ?? 500) < 300;

      test('a policy that was ignored', async () => {
        expect(await planned(isFirst, { asked: [{ roles: ['owner'], count: 1 }] })).toEqual([
          'A write waits exactly where a policy asks for it, and for what it asks',
        ]);
      });

      test.each([{ asked: [] }, { asked: [{ roles: ['owner'], count: 3 }] }])(
        'a write that waits for something else: %o',
        async (change) => {
          expect(await planned(isAsked, change)).toEqual([
            'A write waits exactly where a policy asks for it, and for what it asks',
          ]);
        },
      );

      test('that it waits, told of a key under which nothing does', async () => {
        const outcomes = one(isFirst, (outcome) => answered(outcome, { status: 202 }));
        expect(await broken(outcomes)).toContain('A write is told to wait where a request for its approval is kept');
      });

      test('a decision that was accepted of the requester', async () => {
        expect(await planned(isMade, { refused: 'approver_is_requester' })).toEqual([
          'A decision is kept exactly where it was made, and else refused with the expected code',
        ]);
      });

      test('a decision that was answered, and is not kept', async () => {
        const isRefused = ({ step, final }: Outcome) => isDecision(step) && final?.status === 403;
        const outcomes = one(isRefused, (outcome) => answered(outcome, { status: 200 }));
        expect(await broken(outcomes)).toEqual([
          'A decision is kept exactly where it was made, and else refused with the expected code',
        ]);
      });

      test('a decision that nobody has sent', async () => {
        const key = run.outcomes.find(isMade)?.step.key;
        const outcomes = run.outcomes.filter(({ step }) => step.key !== key || !isDecision(step));
        expect(await broken(outcomes)).toEqual(['A decision that is kept was sent by the person it names']);
      });

      test('a write that names somebody else as who approved it', async () => {
        expect(await planned(isApproved, { approvedBy: [subject.newcomerId, subject.newcomerId] })).toEqual([
          'A write that was approved names whoever the plan says',
        ]);
      });

      test('another end than was decided', async () => {
        expect(await planned(isApproved, { refused: 'approval_rejected' })).toEqual([
          'A write that has waited ends as was decided',
        ]);
      });
    });

    test('a counter that is not what the audit log has', () => {
      const tally = (metric: number, begun = 'once'): Tally => ({
        metrics: new Map([['writes createPayment new', metric]]),
        audit: new Map([['writes createPayment new', 5]]),
        begun,
      });
      const counted = growth(tally(0), { ...tally(3), audit: new Map([['writes createPayment new', 9]]) });
      const { differences } = reportOn({ ...run, metrics: counted }, SEED);
      expect(differences).toEqual([expect.stringContaining('3 in the metrics, 4 in the database')]);
      expect(growth(tally(0), tally(3, 'again'))).toBeUndefined();
    });

    test('counts that differ in one company', () => {
      const [first, ...others] = run.equations;
      const [equation, ...rest] = first?.equations ?? [];
      if (first === undefined || equation === undefined) throw new Error('The run has counted nothing');
      const equations = [{ ...first, equations: [{ ...equation, holds: false }, ...rest] }, ...others];
      expect(reportOn({ ...run, equations }, SEED).differences).toEqual([expect.stringContaining(first.companyId)]);
    });
  });
});

function companiesOf({ companyIds }: Simulation, { auditorId: accountantId, newcomerId }: Subject) {
  return companyIds.map((companyId) => ({ companyId, ownerId: companyId, accountantId, newcomerId }));
}

async function subjectOf(system: System, count: number): Promise<Subject> {
  const companies = await Promise.all(Array.from({ length: count }, () => system.company()));
  const createUser = async (email: string) =>
    (await system.owner.query('SELECT create_user($1) AS id', [email])).rows[0].id as string;
  return {
    url: system.url,
    databaseUrl: system.owner.options.connectionString ?? '',
    tenants: companies.map(({ id, users }) => ({ companyId: id, token: users.owner.token })),
    auditorId: await createUser('accountant@simulated.test'),
    newcomerId: await createUser('newcomer@simulated.test'),
    sign: ({ subject: userId, companyId }) => signToken({ userId, companyId }),
  };
}
