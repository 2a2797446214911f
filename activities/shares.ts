/**
 * Who gets the next connection of the write pool. A *brief* transaction gives up on a lock soon; a *patient* one may wait for
 * it, and of these a company has only a share. So a locked row of one company leaves connections to all others.
 */
export type Shares = {
  /** Runs `work` in its turn. Throws {@link NoTurn} where that does not come within `withinMs`, or too many wait already. */
  run<T>(turn: Turn, withinMs: number, work: () => Promise<T>): Promise<T>;
  /** How many wait for their turn. Those that are brief pass quickly, unless the database is slow. */
  readonly waiting: Readonly<Record<Kind, number>>;
  /** True while more of the company's brief ones wait than the connections that would be its own if all took equal parts. */
  isBacklogged(companyId: string): boolean;
  /** True while transactions of the company wait for locks, or for their turn to do so. */
  hasPatient(companyId: string): boolean;
};

/** `slotted`: a patient one that takes a slot of the worker for itself, as the run of a key does and an item of a group does not. */
export type Turn = { readonly companyId: string; readonly patience: 'brief' | 'patient' | 'slotted' };

type Kind = 'brief' | 'patient';

export class NoTurn extends Error {
  override readonly name = 'NoTurn';
}

/** Of all connections, those that the patient transactions of one company may hold, and those of all companies. */
const PATIENT_SHARE = 1 / 4;
const PATIENT_SHARE_OF_ALL = 1 / 2;
/**
 * A slotted one is refused when so many patient ones of its company wait for their turn for each connection, or so many of
 * all companies: the writes of all companies need the worker's slots.
 */
const PATIENT_WAITING = 1;
const PATIENT_WAITING_OF_ALL = 4;

export function createShares(connections: number): Shares {
  const most = {
    patientOfOne: Math.max(1, Math.floor(connections * PATIENT_SHARE)),
    patient: Math.max(1, Math.floor(connections * PATIENT_SHARE_OF_ALL)),
  };
  const companies = new Map<string, Company>();
  const held = { all: 0, patient: 0 };
  const waiting = { brief: 0, patient: 0 };

  function nextOf(company: Company): Waiting | undefined {
    const mayBePatient = held.patient < most.patient && company.heldPatient < most.patientOfOne;
    const patient = mayBePatient ? company.patient[0] : undefined;
    // One patient one goes first, or brief ones without end would keep all of them waiting.
    return company.heldPatient === 0 ? (patient ?? company.brief[0]) : (company.brief[0] ?? patient);
  }

  /** One of each company may always wait: what others wait for does not keep it out. */
  function tooManyWait(company: Company): boolean {
    const own = company.patient.length;
    return own >= connections * PATIENT_WAITING || (own > 0 && waiting.patient >= connections * PATIENT_WAITING_OF_ALL);
  }

  /** Of the companies that can go on, the one that holds the fewest; among equals, the one that has waited longest. */
  function pump(): void {
    while (held.all < connections) {
      let chosen: { readonly company: Company; readonly next: Waiting } | undefined;
      for (const company of companies.values()) {
        const next = nextOf(company);
        if (next !== undefined && (chosen === undefined || company.held < chosen.company.held))
          chosen = { company, next };
      }
      if (chosen === undefined) return;
      begin(chosen.company, chosen.next);
    }
  }

  function begin(company: Company, next: Waiting): void {
    remove(company, next);
    account(company, next.kind, 1);
    next.begin();
  }

  function remove(company: Company, one: Waiting): void {
    const queue = company[one.kind];
    queue.splice(queue.indexOf(one), 1);
    waiting[one.kind] -= 1;
  }

  function account(company: Company, kind: Kind, change: 1 | -1): void {
    // A Map iterates in insertion order: inserted again, the company is the last among equals.
    companies.delete(company.id);
    companies.set(company.id, company);
    held.all += change;
    company.held += change;
    if (kind === 'patient') {
      held.patient += change;
      company.heldPatient += change;
    }
  }

  function forgetIfIdle({ id, held, brief, patient }: Company): void {
    if (held + brief.length + patient.length === 0) companies.delete(id);
  }

  function turnOf(company: Company, kind: Kind, withinMs: number): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const limit = setTimeout(() => {
        remove(company, one);
        reject(new NoTurn(`No connection was free within ${withinMs} ms`));
      }, withinMs);
      const one: Waiting = {
        kind,
        begin() {
          clearTimeout(limit);
          resolve();
        },
      };
      company[kind].push(one);
      waiting[kind] += 1;
      pump();
    });
  }

  return {
    waiting,
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
    async run({ companyId, patience }, withinMs, work) {
      const company = companies.get(companyId) ?? { id: companyId, held: 0, heldPatient: 0, brief: [], patient: [] };
      companies.set(companyId, company);
      const kind = patience === 'brief' ? 'brief' : 'patient';
      try {
        if (patience === 'slotted' && tooManyWait(company)) throw new NoTurn('Too many wait for a lock');
        await turnOf(company, kind, withinMs);
      } catch (error) {
        forgetIfIdle(company);
        throw error;
      }
      try {
        return await work();
      } finally {
        account(company, kind, -1);
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
};

type Waiting = { readonly kind: Kind; begin(): void };
