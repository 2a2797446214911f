import { randomUUID } from 'node:crypto';
import { fingerprint } from '../../activities/identity.ts';
import type { Operation } from '../../activities/operation.ts';
import { type ExampleMaker, exampleMaker } from '../cli/examples.ts';
import type { Tenant } from '../cli/target.ts';
import type { Http } from '../client/src/http.ts';
import type { Write } from '../client/src/submit-write.ts';

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i;

/** A path segment. */
const YEAR = /(?<=\/)\d{4}(?=\/)/;

/** Makes requests from the operation's example; each has resources of its own and succeeds like the first. */
export function requestMaker(http: Http, operation: Operation, options: { run: string; newcomerId: string }) {
  let maker: ExampleMaker | undefined;
  let made = 0;
  return (tenant: Tenant, key = `${options.run}:${made + 1}`): Promise<Write> => {
    made += 1;
    maker ??= exampleMaker(http, operation, options);
    return maker.prepare(tenant, made, key);
  };
}

/** The same key with other valid content: one member of the body differs, else an ID or a year in the path. */
export function withOtherContent(operation: Operation, write: Write): Write {
  const content = JSON.parse(write.body) as Record<string, unknown>;
  const original = fingerprintOf(operation, content);
  const other = [...variants(content)].find((variant) => {
    const candidate = fingerprintOf(operation, variant);
    return candidate !== undefined && candidate !== original;
  });
  if (other !== undefined) return { ...write, body: JSON.stringify(other) };
  if (UUID.test(write.path)) return { ...write, path: write.path.replace(UUID, randomUUID()) };
  if (YEAR.test(write.path)) {
    return { ...write, path: write.path.replace(YEAR, (year) => String(Number(year) + 1)) };
  }
  throw new Error('no member of its example can be changed');
}

/** The fingerprint with defaults filled in; undefined if the schema refuses the content. */
function fingerprintOf(operation: Operation, content: unknown): string | undefined {
  const parsed = operation.body.safeParse(content);
  return parsed.success ? fingerprint(operation.name, { params: {}, body: parsed.data } as never) : undefined;
}

/** The value with one leaf changed, for each leaf. */
function* variants(value: unknown): Generator<unknown> {
  if (typeof value === 'number') yield value + 1;
  else if (typeof value === 'boolean') yield !value;
  else if (typeof value === 'string') yield UUID.test(value) ? randomUUID() : `${value}x`;
  else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) for (const variant of variants(item)) yield value.with(index, variant);
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, item] of Object.entries(value)) {
      for (const variant of variants(item)) yield { ...value, [name]: variant };
    }
  }
}
