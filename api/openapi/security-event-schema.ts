import { z } from 'zod';
import { instant, resourceId } from '../../activities/resources/members.ts';
import { SECURITY_EVENTS } from '../../activities/security/security-row.ts';

/** A row of the security log, as `GET /api/security-log` lists it. */
export const securityEventSchema = z.object({
  id: z.string(),
  at: instant(),
  event: z.enum(SECURITY_EVENTS),
  reason: z
    .string()
    .meta({ description: 'The code of a refusal, what was read, the role granted, or the setting lowered' }),
  userId: resourceId().nullable(),
  subject: z.string().nullable().meta({ description: 'Of a verified token whose user is not known here' }),
  ip: z.string().nullable(),
  action: z.string().nullable().meta({ description: 'The route, the operation or the operator command' }),
  requestId: z.string().nullable(),
  count: z.int().min(1).meta({ description: 'More than 1: how many of the same kind there were since countedSince' }),
  countedSince: instant().nullable(),
  details: z.record(z.string(), z.unknown()),
});
