import type { Measured } from '../loops.ts';

/** What the benchmark and the baseline's process, its workflow and its activity say to each other. */

export type PaymentOrder = { readonly paymentId: string; readonly invoiceId: string };

export type BaselineActivities = { pay(order: PaymentOrder): Promise<string> };

/** `temporal`: one workflow a payment. `sql`: the same payment by hand-written SQL and nothing around it. */
export type BaselineKind = 'temporal' | 'sql';

export type MeasureOrder = {
  readonly kind: BaselineKind;
  readonly concurrency: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
};

/** When the window opens and closes, and then what was measured in it. */
export type MeasureReport =
  | { readonly edge: 'begin' | 'end' }
  | { readonly measured: Measured }
  | { readonly error: string };

export type ReadyReport = { readonly ready: true };
