import type { ProblemCode } from '../http/problems.ts';

/** What a code of the API itself means, and what a client does about it; for people, so in whole sentences. */
export type ErrorHelp = { readonly meaning: string; readonly next: string };

const SAME_KEY =
  'Send the same request with the same key again, after Retry-After where it is given and with growing pauses.';

export const ERROR_HELP: Readonly<Record<ProblemCode, ErrorHelp>> = {
  unauthenticated: {
    meaning:
      'There is no bearer token, or it is expired, of another issuer, lives longer than 24 hours or is not signed by the right key.',
    next: 'Get a fresh token and send the same request with the same key.',
  },
  not_a_member: {
    meaning: 'The token is valid, and its user is no member of its company, or is no more.',
    next: 'Ask an owner of the company for access. A write that was made before keeps its outcome.',
  },
  forbidden: {
    meaning:
      'None of your roles in this company allows this. It is asked at each request, for a replay too, and once more in the write’s transaction: found there, the refusal is the outcome of the key.',
    next: 'Have someone with the role do it, or be granted it. If the answer is marked or has no requestId, it is stored: then use a new key.',
  },
  route_not_found: {
    meaning: 'There is no route with this path.',
    next: 'Compare the path with /openapi.json. Nothing was done.',
  },
  method_not_allowed: {
    meaning: 'The route exists and does not know this method; Allow names those it knows.',
    next: 'Use one of the methods in Allow.',
  },
  write_not_found: {
    meaning: 'No such write is known in this company, or you may not read it.',
    next: 'Sending the request with the same key is safe; cancelling the key makes sure that it never happens.',
  },
  malformed_request: {
    meaning: 'What was sent is no HTTP request, or its path no URL, that the server can read.',
    next: 'Correct the request; nothing was done.',
  },
  headers_too_large: {
    meaning: 'The headers together are larger than 16 KiB.',
    next: 'Send fewer or shorter headers; nothing was done.',
  },
  malformed_json: {
    meaning: 'The body is not one JSON value in UTF-8, or not as long as Content-Length says.',
    next: 'Correct the body and send it with the same key: nothing is stored for it.',
  },
  idempotency_key_missing: {
    meaning: 'A write needs an Idempotency-Key header. The server never makes one up, since a retry could not name it.',
    next: 'Make a value that names this one write, such as a UUID, keep it, and send it with each attempt.',
  },
  idempotency_key_invalid: {
    meaning:
      'The header is empty, longer than 255 characters, has characters outside printable ASCII, an unfinished quote, or is there twice.',
    next: 'Send one bare key or one quoted string. A malformed key is never ignored; nothing was done.',
  },
  body_too_large: {
    meaning: 'The body is larger than 1 MiB.',
    next: 'Send less; nothing is stored for the key.',
  },
  unsupported_media_type: {
    meaning: 'The body is not application/json in UTF-8, or it is compressed.',
    next: 'Send Content-Type: application/json without Content-Encoding; nothing is stored for the key.',
  },
  validation_failed: {
    meaning: 'Path, query or body do not fit the schema. errors[] names each member by its JSON pointer.',
    next: 'Correct the request. Nothing is stored: the same key can carry the corrected one.',
  },
  idempotency_key_reused: {
    meaning:
      'The key belongs to another request: another body, path or operation. differences[] names where they differ; the write that has the key is untouched.',
    next: 'For a new write use a new key. If this was meant as a retry, send what was sent first; writeUrl shows that write.',
  },
  idempotency_in_progress: {
    meaning: 'You preferred not to wait (wait=0), and the write with this key is still running.',
    next: 'Wait as long as Retry-After says, then send the same again or read its status at writeUrl.',
  },
  rate_limited: {
    meaning: 'The company has sent more requests than its limit allows. Replays have a limit of their own, far higher.',
    next: SAME_KEY,
  },
  overloaded: {
    meaning: 'The process carries as many writes as it may. This one was not started by this request.',
    next: SAME_KEY,
  },
  orchestrator_unavailable: {
    meaning:
      'Temporal did not confirm the start in time. This says nothing about the outcome: the write may happen yet, once.',
    next: SAME_KEY,
  },
  storage_unavailable: {
    meaning: 'The database did not answer in time. A write that was accepted before goes on.',
    next: SAME_KEY,
  },
  write_record_missing: {
    meaning:
      'Temporal says that this write is done, and the database has no record of it, as after a restore to an earlier time. Operators are alerted.',
    next: 'Do not send it under another key. Ask the operators, and give them the key and the request ID.',
  },
  outcome_unknown: {
    meaning: 'The run of this write ended without proof of what became of it. It is not known to have failed.',
    next: `${SAME_KEY} It cannot happen twice: the retry finds the outcome, or makes it.`,
  },
  write_failed: {
    meaning: 'The run of this write failed by an error that is known to have left nothing.',
    next: `${SAME_KEY} If it stays, tell us the request ID.`,
  },
  internal_error: {
    meaning: 'An error on our side, before or beside the write.',
    next: `${SAME_KEY} If it stays, tell us the request ID.`,
  },
  write_cancelled: {
    meaning: 'The key was cancelled before its write happened; it never will. Every request with the key gets this.',
    next: 'If the write is wanted after all, send it with a new key.',
  },
  too_late: {
    meaning: 'The write that should be cancelled has its outcome already; writeUrl shows it.',
    next: 'Undo it by the operation that is there for that, if need be.',
  },
  webhook_not_available: {
    meaning: 'The company has set no webhook, or this service has no key to sign its calls with.',
    next: 'Set webhookUrl in the settings; a service without WEBHOOK_MASTER_KEY is for its operators to set up.',
  },
};
