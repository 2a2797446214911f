/** `@accubooks/client`: {@link createClient} makes the client. The manual is README.md. */
export type { FileOptions, ResultOptions, SubmitOptions, WaitOptions } from './batches.ts';
export type {
  CallOptions,
  ClientOptions,
  PendingApproval,
  PendingWrite,
  Query,
  SettleOptions,
  Trace,
  WriteOptions,
  Written,
} from './calls.ts';
export type { CircuitOptions } from './circuit.ts';
export { type AccuBooks, createClient } from './client.ts';
export { type ClientCredentials, clientCredentials } from './client-credentials.ts';
export {
  AccuBooksError,
  ApprovalPendingError,
  CancelledError,
  isRejection,
  LostWriteError,
  RefusedError,
  RejectedError,
  UnavailableError,
  UnknownOutcomeError,
} from './errors.ts';
export type { FollowOptions } from './events.ts';
export type { FileContent, FileSource } from './file-body.ts';
export type { SubmittedBatch } from './files.ts';
// Each request, resource and query, by the name that the reference has for it.
export type * from './generated/types.ts';
export type { Answer, Fetch, FetchAnswer, FetchInit, FileBody, HttpRequest } from './http.ts';
export { isKey, type KeptWrite, type KeyStore, newKey } from './keys.ts';
export type { Page, Pages } from './pages.ts';
export type { Repeat } from './repeat.ts';
export type { ResultFormat } from './results.ts';
export type { TokenSource } from './token.ts';
export {
  verifyWebhook,
  type WebhookFault,
  type WebhookHeaders,
  type WebhookRequest,
  WebhookVerificationError,
} from './webhook.ts';
