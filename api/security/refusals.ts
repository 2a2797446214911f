import type { FastifyRequest } from 'fastify';
import { isUuid } from '../../activities/identity.ts';
import type { ApiProblem } from '../http/problems.ts';
import type { SecurityLog } from './security-log.ts';

type Request = Pick<FastifyRequest, 'id' | 'address' | 'method' | 'routeOptions'> & {
  readonly caller: FastifyRequest['caller'] | undefined;
};

/** Tells the security log of an answer that refuses a caller: 401, 403, and 429 for too many bad tokens. */
export function recordRefusal(log: SecurityLog, problem: ApiProblem, request: Request): void {
  const { refusedToken } = problem.details;
  if (refusedToken !== undefined) {
    const { company_id: companyId, sub } = refusedToken.claims ?? {};
    log.record({
      event: problem.code === 'too_many_failed_sign_ins' ? 'sign_ins_limited' : 'authentication_refused',
      reason: refusedToken.reason,
      companyId: typeof companyId === 'string' && isUuid(companyId.toLowerCase()) ? companyId.toLowerCase() : undefined,
      subject: typeof sub === 'string' && !sub.includes('\0') ? sub : undefined,
      ...sourceOf(request),
    });
  } else if (problem.kind.status === 403) {
    log.record({ event: 'access_refused', reason: problem.code, ...request.caller, ...sourceOf(request) });
  }
}

/** The route, not the path: a path names customers and keys. */
export function sourceOf({ id, address, method, routeOptions }: Request) {
  return { address, action: `${method} ${routeOptions.url ?? 'unknown'}`, requestId: id };
}
