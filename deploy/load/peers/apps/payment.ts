import { createHash, randomUUID } from 'node:crypto';

/** The body that our own API takes. */
export type PaymentRequest = {
  readonly invoiceId: string;
  readonly amount: number;
  readonly currency: string;
  readonly method: string;
  readonly receivedOn: string;
};

/** Everything that is random or read from a clock is decided here, so that an engine may run the write again. */
export type Command = {
  readonly companyId: string;
  readonly key: string;
  readonly fingerprint: string;
  readonly paymentId: string;
  readonly request: PaymentRequest;
  /** The body of the answer, as it is sent and stored. */
  readonly answer: string;
};

/** `mismatch`: the key was taken by a request with another body. */
export type Written = { readonly paymentId: string; readonly answer: string } | 'mismatch';

export function toCommand(companyId: string, key: string, request: PaymentRequest): Command {
  const { invoiceId, amount, currency, method, receivedOn } = request;
  const paymentId = randomUUID();
  const content = JSON.stringify([invoiceId, amount, currency, method, receivedOn]);
  return {
    companyId,
    key,
    fingerprint: createHash('sha256').update(content).digest('hex'),
    paymentId,
    request,
    answer: JSON.stringify({ id: paymentId, invoiceId, amount, currency, method, receivedOn, status: 'posted' }),
  };
}
