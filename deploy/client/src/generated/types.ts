export type Problem = {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  code: string;
  retryable: boolean;
  nextAction: 'fix_request' | 'retry_same_key' | 'wait' | 'use_new_key' | 'none';
  requestId?: string;
  errors?: ProblemPointer[];
  differences?: ProblemPointer[];
  writeUrl?: string;
};
export type ProblemPointer = { in: 'body' | 'path' | 'query' | 'header' | 'operation'; pointer: string; message?: string };
export type RejectionCodes = { createPayment: 'payment_exceeds_outstanding' };
