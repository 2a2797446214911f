import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createCircuit } from '../../deploy/client/src/circuit.ts';
import { pauseMs } from '../../deploy/client/src/pause.ts';

const NEVER = new AbortController().signal;

describe('a circuit', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const opened = async () => {
    const circuit = createCircuit({ failures: 2, openMs: 1_000 });
    for (let failure = 0; failure < 2; failure += 1) {
      expect(await circuit.admit(NEVER)).toBe(true);
      circuit.report('failed');
    }
    return circuit;
  };
  /** How many of these have been admitted after the time. */
  const admittedAfter = async (ms: number, waiting: { admitted: number }) => {
    await vi.advanceTimersByTimeAsync(ms);
    return waiting.admitted;
  };
  const ask = (circuit: ReturnType<typeof createCircuit>, times: number) => {
    const waiting = { admitted: 0 };
    for (let time = 0; time < times; time += 1)
      void circuit.admit(NEVER).then((yes) => (waiting.admitted += Number(yes)));
    return waiting;
  };

  test('lets all pass until so many failures came in a row', async () => {
    const circuit = createCircuit({ failures: 2, openMs: 1_000 });
    for (const end of ['failed', 'answered', 'failed', 'answered', 'failed'] as const) {
      expect(await circuit.admit(NEVER)).toBe(true);
      circuit.report(end);
    }
    expect(await circuit.admit(NEVER)).toBe(true);
  });

  test('then sends one probe after its time, and all others once it is answered', async () => {
    const circuit = await opened();
    const waiting = ask(circuit, 5);
    expect(await admittedAfter(900, waiting)).toBe(0);
    expect(await admittedAfter(200, waiting)).toBe(1);
    expect(await admittedAfter(60_000, waiting)).toBe(1);
    circuit.report('answered');
    expect(await admittedAfter(250, waiting)).toBe(5);
  });

  test('stays open for twice as long after each probe that fails, at most thirty times', async () => {
    const circuit = await opened();
    for (const openForMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      const waiting = ask(circuit, 1);
      expect(await admittedAfter(openForMs - 50, waiting)).toBe(0);
      expect(await admittedAfter(100, waiting)).toBe(1);
      circuit.report('failed');
    }
  });

  test('admits nothing after the abort', async () => {
    const circuit = await opened();
    const controller = new AbortController();
    const aborted = circuit.admit(controller.signal);
    await vi.advanceTimersByTimeAsync(500);
    controller.abort();
    expect(await aborted).toBe(false);
    expect(await circuit.admit(controller.signal)).toBe(false);
  });

  test('is not opened by requests that were given up, and a probe that was given up makes way for the next', async () => {
    const circuit = createCircuit({ failures: 2, openMs: 1_000 });
    for (const end of ['failed', 'given up', 'given up', 'failed'] as const) {
      expect(await admittedAfter(0, ask(circuit, 1))).toBe(1);
      circuit.report(end);
    }
    const waiting = ask(circuit, 2);
    expect(await admittedAfter(1_100, waiting)).toBe(1);
    circuit.report('given up');
    expect(await admittedAfter(250, waiting)).toBe(2);
  });
});

describe('the pause before the next attempt', () => {
  test('doubles up to a limit, and is at random between the half and the whole', () => {
    const pauses = (random: number) =>
      [1, 2, 3, 6, 7, 50, 5_000].map((attempts) => pauseMs(attempts, undefined, () => random));
    expect(pauses(1)).toEqual([100, 200, 400, 3_200, 5_000, 5_000, 5_000]);
    expect(pauses(0)).toEqual([50, 100, 200, 1_600, 2_500, 2_500, 2_500]);
  });

  test('is never shorter than Retry-After', () => {
    expect([pauseMs(1, 2_000, () => 0), pauseMs(1, 2_000, () => 1)]).toEqual([2_000, 2_500]);
  });
});
