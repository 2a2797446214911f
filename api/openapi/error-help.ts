import type { ProblemCode } from '../http/problems.ts';

/** What a code of the API itself means and what a client should do about it, in whole sentences, for people. */
export type ErrorHelp = { readonly meaning: string; readonly next: string };

const SAME_KEY =
  'Send the same request again with the same key. Wait as long as Retry-After says; without it, use growing pauses.';

export const ERROR_HELP: Readonly<Record<ProblemCode, ErrorHelp>> = {
  unauthenticated: {
    meaning:
      'The bearer token is missing, has expired, comes from another issuer, is valid for more than 24 hours or is not signed with the right key.',
    next: 'Get a new token and send the same request with the same key.',
  },
  too_many_failed_sign_ins: {
    meaning:
      'This token was refused, and so were too many others from the same address within a minute. A valid token is accepted from there all the same.',
    next: 'Get a valid token and send the same request with the same key. Without one, wait as long as Retry-After says.',
  },
  authentication_unavailable: {
    meaning:
      'The identity provider has not answered with its keys for an hour, or the token is signed with a key that it may have made since. This says nothing about the token.',
    next: SAME_KEY,
  },
  not_a_member: {
    meaning: 'The token is valid, but its user is not a member of its company, or no longer is.',
    next: 'Ask an owner of the company for access. Earlier writes keep their outcomes.',
  },
  forbidden: {
    meaning:
      'None of your roles in this company allows this. Roles are checked at each request, replays included, and again in the write’s transaction. A refusal in the transaction is stored as the outcome of the key.',
    next: 'Ask for the role, or ask someone who has it to send the request. An answer without a requestId is stored: then use a new key.',
  },
  route_not_found: {
    meaning: 'No route has this path.',
    next: 'Compare the path with /openapi.json. Nothing was changed.',
  },
  method_not_allowed: {
    meaning: 'The route exists but does not support this method. The Allow header lists those it supports.',
    next: 'Use one of the methods in Allow. Nothing was changed.',
  },
  write_not_found: {
    meaning: 'This company has no write with this key, or you may not read it.',
    next: 'It is safe to send the request with this key. Cancelling the key makes sure that the write never happens.',
  },
  malformed_request: {
    meaning: 'The bytes are not a valid HTTP request or end before it is complete, or the path is not a valid URL.',
    next: 'Correct the request. Nothing was changed.',
  },
  request_timeout: {
    meaning:
      'The headers did not arrive within 15 seconds, or the whole request within 30; or the file of a batch was silent for 30 seconds, or lasted longer than an hour. The connection is closed.',
    next: 'Send the request again with the same key. Nothing was changed.',
  },
  headers_too_large: {
    meaning: 'All headers together are larger than 16 KiB.',
    next: 'Send fewer or shorter headers. Nothing was changed.',
  },
  malformed_json: {
    meaning: 'The body is not one JSON value in UTF-8, or its length differs from Content-Length.',
    next: 'Correct the body and send it with the same key. Nothing is stored for the key.',
  },
  idempotency_key_missing: {
    meaning:
      'A write needs an Idempotency-Key header. The server never generates one, since a retry would not know it.',
    next: 'Choose a value that names this one write, such as a UUID. Keep it, and send it with every attempt.',
  },
  idempotency_key_invalid: {
    meaning:
      'The header is empty, longer than 255 characters, contains characters outside printable ASCII, has an unterminated quote or is sent twice. Or the key is new and begins with trigger:, as only those of triggered workflows do.',
    next: 'Send one bare key or one quoted string. A malformed key is never ignored. Nothing was changed.',
  },
  body_too_large: {
    meaning:
      'The body is larger than 1 MiB, or the file of a batch is larger than 1 GiB or has more than 1,000,000 rows.',
    next: 'Send a smaller body, or the rest of the file as another batch. Nothing is stored for the key.',
  },
  unsupported_media_type: {
    meaning:
      'The body is not application/json in UTF-8 (that of a batch: application/x-ndjson or text/csv), or it is compressed.',
    next: 'Send the Content-Type that the detail names, without Content-Encoding. Nothing is stored for the key.',
  },
  validation_failed: {
    meaning:
      'The path, query or body does not match the schema, or the body is nested more than 32 levels deep. errors[] names each member by its JSON pointer.',
    next: 'Correct the request and send it with the same key. Nothing is stored for the key.',
  },
  idempotency_key_reused: {
    meaning:
      'The key belongs to a request with another body, path or operation. differences[] lists where the two differ. The write that has the key is unchanged. The key of a batch belongs to another file: errors[] names the first row that differs.',
    next: 'For a new write, use a new key. For a retry, send exactly the first request; writeUrl shows that write.',
  },
  idempotency_in_progress: {
    meaning: 'The write with this key is still running. You asked not to wait (wait=0), or the wait is over.',
    next: 'Wait as long as Retry-After says. Then send the same request again, or read the status at writeUrl.',
  },
  rate_limited: {
    meaning:
      'The company has exceeded its rate limit. Replays and reads have a separate limit, which is far higher; test calls of the webhook, and requests that wait for a status, have small ones of their own.',
    next: SAME_KEY,
  },
  overloaded: {
    meaning:
      'The process has too many requests or unfinished writes, or your company has half of all that it may have, and could not look this one up or start it in time. This request has not started the write and never will; an earlier one with the same key may have.',
    next: SAME_KEY,
  },
  orchestrator_unavailable: {
    meaning: 'Temporal did not confirm the start in time. The outcome is unknown: the write may still happen, once.',
    next: SAME_KEY,
  },
  storage_unavailable: {
    meaning:
      'The database did not answer in time, or it has come back after a restart, a failover or a restore, and is being compared with Temporal before it may say that it does not have a write. A write that was already accepted goes on.',
    next: SAME_KEY,
  },
  write_record_missing: {
    meaning:
      'Temporal has accepted this write, but the database has lost its record. This can follow a restore to an earlier time, or a failover to a standby that lagged. Operators are alerted.',
    next: 'Do not send the request with another key. Contact the operators, and give them the key and the request ID.',
  },
  outcome_unknown: {
    meaning:
      'The workflow run of this write ended, or its wait was over while it travelled with others, and nothing proves whether the write was or will be committed. Do not treat it as failed.',
    next: `${SAME_KEY} The write cannot happen twice: the retry returns its outcome, or makes it.`,
  },
  write_failed: {
    meaning: 'The workflow run of this write failed, and its transaction is known to have been rolled back.',
    next: `${SAME_KEY} If the error persists, report the request ID.`,
  },
  internal_error: {
    meaning: 'The server failed to handle the request. This says nothing about the outcome of the write.',
    next: `${SAME_KEY} If the error persists, report the request ID.`,
  },
  write_cancelled: {
    meaning:
      'The key was cancelled before its write happened, so it never will. Every request with the key returns this.',
    next: 'If you still want the write, send it with a new key.',
  },
  too_late: {
    meaning: 'The write cannot be cancelled, since it already has its outcome. writeUrl shows it.',
    next: 'If you need to undo the write, use the operation that reverses it.',
  },
  approval_not_pending: {
    meaning:
      'The write under this key has all its approvals or its outcome already, its time is over, or no policy ever asked for its approval.',
    next: 'Read the write: its state says what became of it. Nothing was changed.',
  },
  already_decided: {
    meaning: 'You have approved this write and now reject it, or the other way round. A decision stays.',
    next: 'Cancel the write if it must not happen. Nothing was changed.',
  },
  approver_is_requester: {
    meaning: 'You have asked for this write yourself. Someone else decides about it.',
    next: 'Ask someone who holds one of the roles of the policy. Nothing was changed.',
  },
  approval_rejected: {
    meaning: 'An approval policy of the company has matched the write, and someone who may approve it has rejected it.',
    next: 'Every retry with this key returns the same answer. Talk to who rejected it, and send what you agree on with a new key.',
  },
  approval_expired: {
    meaning: 'An approval policy of the company has matched the write, and not enough people had approved it in time.',
    next: 'Every retry with this key returns the same answer. Send the request with a new key, and have it approved.',
  },
  proof_not_ready: {
    meaning:
      'The write has no outcome yet, a row of it is not sealed yet, or no published head covers one. The detail says which.',
    next: 'Ask for the proof again after the pause in Retry-After. A row is sealed within seconds; a head is published at most once an hour.',
  },
  batch_state_conflict: {
    meaning:
      'What was asked for makes no sense in the state of the batch, such as resuming one that is not paused, or sending a file ' +
      'under a key that was cancelled while its file was received.',
    next: 'Read the batch: its state says what can be done. A file needs a new key. Nothing was changed.',
  },
  webhook_not_available: {
    meaning: 'The company has not set a webhook URL, or this service has no key to sign webhooks with.',
    next: 'Set webhookUrl in the company’s settings. If the detail names the service, ask its operators to set WEBHOOK_MASTER_KEY.',
  },
};
