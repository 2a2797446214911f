import type { Measured } from '../loops.ts';

/** The messages between the benchmark and the baseline's process, its workflow and its activity. */

export type PaymentOrder = { readonly paymentId: string; readonly invoiceId: string };

export type BaselineActivities = { pay(order: PaymentOrder): Promise<string> };

/** `temporal`: one workflow per payment. `sql`: the same payment in hand-written SQL and nothing else. */
export type BaselineKind = 'temporal' | 'sql';

export type MeasureOrder = {
  readonly kind: BaselineKind;
  readonly concurrency: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
};

/** Sent when the window opens and closes, and then with the measurements. */
export type MeasureReport =
  | { readonly edge: 'begin' | 'end' }
  | { readonly measured: Measured }
  | { readonly error: string };

export type ReadyReport = { readonly ready: true };
