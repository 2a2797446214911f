/**
 * Who gets the next connection of a pool. A *brief* transaction gives up on a lock soon; a *patient* one may wait for it, or
 * take long for another reason, and of these a company has only a share. So the locked row of one company, or its large
 * reports, leave connections to all others.
 */
export type Shares = {
  /** Runs `work` in its turn. Throws {@link NoTurn} where that does not come within `withinMs`, or too many wait already. */
  run<T>(turn: Turn, withinMs: number, work: () => Promise<T>): Promise<T>;
  /** How many wait for their turn. */
  readonly waiting: number;
  /** True while more of the company's brief ones wait than the connections that would be its own if all took equal parts. */
  isBacklogged(companyId: string): boolean;
  /** True while transactions of the company wait for locks, or for their turn to do so. */
  hasPatient(companyId: string): boolean;
};

export type Turn = {
  readonly companyId: string;
  readonly patience: Patience;
  /** It takes a slot of the worker for itself while it waits, as the run of a key does and an item of a group does not. */
  readonly takesSlot?: boolean;
};

export type Patience = 'brief' | 'patient';

export class NoTurn extends Error {
  override readonly name = 'NoTurn';
}

/** Of all connections, those that the patient transactions of one company may hold, and those of all companies. */
const PATIENT_SHARE = 1 / 4;
const PATIENT_SHARE_OF_ALL = 1 / 2;
/**
 * For each connection, how many that take a slot may wait for their turn, of one company and of all; a further one is refused.
 * Together they are fewer than the slots of the worker, which the writes of all companies need.
 */
const SLOTS_WAITING = { patient: { ofOne: 1, ofAll: 4 }, brief: { ofOne: 4, ofAll: 8 } } as const;

export function createShares(connections: number): Shares {
  const most = {
    patientOfOne: Math.max(1, Math.floor(connections * PATIENT_SHARE)),
    patient: Math.max(1, Math.floor(connections * PATIENT_SHARE_OF_ALL)),
  };
  const companies = new Map<string, Company>();
  const held = { all: 0, patient: 0 };
  /** Those that wait and take a slot. */
  const slots = { brief: 0, patient: 0 };
  let waiting = 0;

  function nextOf(company: Company): Waiting | undefined {
    const mayBePatient = held.patient < most.patient && company.heldPatient < most.patientOfOne;
    const patient = mayBePatient ? company.patient[0] : undefined;
    // One patient one goes first, or brief ones without end would keep all of them waiting.
    return company.heldPatient === 0 ? (patient ?? company.brief[0]) : (company.brief[0] ?? patient);
  }

  /** One of each company may always wait: what others wait for does not keep it out. */
  function tooManyWait(company: Company, patience: Patience): boolean {
    const { ofOne, ofAll } = SLOTS_WAITING[patience];
    const own = company.slots[patience];
    return own >= connections * ofOne || (own > 0 && slots[patience] >= connections * ofAll);
  }

  /**
   * Of the companies that can go on, the one that holds the fewest; among equals, the one that has waited longest. Patient
   * ones compete for a share of their own: only what each holds of that counts for them.
   */
  function pump(): void {
    while (held.all < connections) {
      let chosen: { readonly company: Company; readonly next: Waiting; readonly holds: number } | undefined;
      for (const company of companies.values()) {
        const next = nextOf(company);
        if (next === undefined) continue;
        const holds = next.patience === 'patient' ? company.heldPatient : company.held;
        if (chosen === undefined || holds < chosen.holds) chosen = { company, next, holds };
      }
      if (chosen === undefined) return;
      begin(chosen.company, chosen.next);
    }
  }

  function begin(company: Company, next: Waiting): void {
    queue(company, next, -1);
    hold(company, next.patience, 1);
    next.begin();
  }

  function queue(company: Company, one: Waiting, change: 1 | -1): void {
    const own = company[one.patience];
    if (change === 1) own.push(one);
    else own.splice(own.indexOf(one), 1);
    waiting += change;
    if (!one.takesSlot) return;
    company.slots[one.patience] += change;
    slots[one.patience] += change;
  }

  function hold(company: Company, patience: Patience, change: 1 | -1): void {
    // A Map iterates in insertion order: inserted again, the company is the last among equals.
    companies.delete(company.id);
    companies.set(company.id, company);
    held.all += change;
    company.held += change;
    if (patience === 'patient') {
      held.patient += change;
      company.heldPatient += change;
    }
  }

  function forgetIfIdle({ id, held, brief, patient }: Company): void {
    if (held + brief.length + patient.length === 0) companies.delete(id);
  }

  function turnOf(company: Company, { patience, takesSlot = false }: Turn, withinMs: number): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const limit = setTimeout(() => {
        queue(company, one, -1);
        reject(new NoTurn(`No connection was free within ${withinMs} ms`));
      }, withinMs);
      const one: Waiting = {
        patience,
        takesSlot,
        begin() {
          clearTimeout(limit);
          resolve();
        },
      };
      queue(company, one, 1);
      pump();
    });
  }

  return {
    get waiting() {
      return waiting;
    },
    isBacklogged(companyId) {
      const own = companies.get(companyId)?.brief.length ?? 0;
      let others = 0;
      for (const { id, brief } of companies.values()) if (id !== companyId && brief.length > 0) others += 1;
      return own * (1 + others) > connections;
    },
    hasPatient(companyId) {
      const company = companies.get(companyId);
      return company !== undefined && company.heldPatient + company.patient.length > 0;
    },
    async run(turn, withinMs, work) {
      const company = companies.get(turn.companyId) ?? newCompany(turn.companyId);
      companies.set(turn.companyId, company);
      try {
        if (turn.takesSlot && tooManyWait(company, turn.patience)) throw new NoTurn('Too many wait for a connection');
        await turnOf(company, turn, withinMs);
      } catch (error) {
        forgetIfIdle(company);
        throw error;
      }
      try {
        return await work();
      } finally {
        hold(company, turn.patience, -1);
        forgetIfIdle(company);
        pump();
      }
    },
  };
}

type Company = {
  readonly id: string;
  held: number;
  heldPatient: number;
  readonly brief: Waiting[];
  readonly patient: Waiting[];
  /** Of these, those that take a slot. */
  readonly slots: Record<Patience, number>;
};

function newCompany(id: string): Company {
  return { id, held: 0, heldPatient: 0, brief: [], patient: [], slots: { brief: 0, patient: 0 } };
}

type Waiting = { readonly patience: Patience; readonly takesSlot: boolean; begin(): void };
