/** The submissions that a process may have in flight, and the share of them that one company may have. */
export type Slots = {
  /** Answers what gives the slot back, once; undefined when the process or the company has as many as it may have. */
  take(companyId: string): (() => void) | undefined;
  readonly taken: number;
};

/** The burst of one company leaves room for the others. */
const SHARE_OF_A_COMPANY = 1 / 2;

export function createSlots(most: number): Slots {
  const mostOfOne = Math.ceil(most * SHARE_OF_A_COMPANY);
  const byCompany = new Map<string, number>();
  let taken = 0;

  function change(companyId: string, by: 1 | -1): void {
    taken += by;
    const ofCompany = (byCompany.get(companyId) ?? 0) + by;
    if (ofCompany === 0) byCompany.delete(companyId);
    else byCompany.set(companyId, ofCompany);
  }

  return {
    get taken() {
      return taken;
    },
    take(companyId) {
      if (taken >= most || (byCompany.get(companyId) ?? 0) >= mostOfOne) return undefined;
      change(companyId, 1);
      return () => change(companyId, -1);
    },
  };
}
