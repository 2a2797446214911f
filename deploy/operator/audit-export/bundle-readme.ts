import type { Epoch, ExportedCompany } from './exported.ts';

type About = {
  readonly exportedAt: string;
  readonly asked: { readonly company: string | null; readonly from: string | null; readonly to: string | null };
  readonly epochs: readonly Epoch[];
};

/** For whoever is given the bundle and nothing else. */
export function bundleReadme({ exportedAt, asked, epochs }: About, companies: readonly ExportedCompany[]): string {
  const isPart = asked.from !== null || asked.to !== null;
  return `SEALED BOOKS

Exported ${exportedAt}: ${companies.length} ${companies.length === 1 ? 'company' : 'companies'}, ${
    isPart ? `written from ${asked.from ?? 'the first day'} to ${asked.to ?? 'the last day'} (UTC)` : 'all days'
  }.

To verify it you need Node 20 or newer (https://nodejs.org), no network and nothing else:

    node verify.mjs

It says for each company how many journal entries and rows of the audit log are here, up to which published head, and by
which keys it is signed. It exits with 0 if nothing differs, with 1 if something does, and names the first row that differs,
with 2 if the bundle is incomplete or heads that you have could not be compared with it, and with 3 if nothing differs, but rows that
a head names are gone and the operator has stated why.

WHAT IT PROVES

- No entry and no row of the audit log up to the last head was changed, removed, inserted, moved or given another date since
  that head was signed, unless by somebody who also has the key that signs heads.
- The lines of each entry add up to zero in each currency.

WHAT IT DOES NOT PROVE

- That the heads in here are those that were published at the time. Whoever owns the database and the key can make all rows,
  heads and signatures anew. Compare them with heads that you have from elsewhere (calls of your webhook, the service's log, a
  signed file), one JSON object a line, and with the public keys that you have kept:

      node verify.mjs --heads FILE --keys FILE

- Since when a head has been there, unless it has a time stamp: the token of a time-stamp authority (RFC 3161). verify.mjs says
  of which heads there are tokens, and that they are of these heads, but not who has signed them. For that it writes them out:

      node verify.mjs --time-stamps stamps
      openssl ts -verify -data stamps/NAME.head -in stamps/NAME.token -token_in -CAfile FILE

  with the root certificates of the authority, which you have from the authority itself.

- Anything of rows behind the last head: they are chained, and not signed yet.
- That an entry is right: only that it is what was posted.
${isPart ? '- Anything of rows before the first one here, or behind the last: this is a part of the books. It follows on a signed head.\n' : ''}
WHAT IS IN IT

    manifest.json                     what this is, and the SHA-256 of each file
    keys.json                         the public keys that have signed heads (JWK set, Ed25519)
    <company>/journal/                journal entries
    <company>/audit/                  rows of the audit log
        rows-00001.ndjson             the rows in their order: number, ID, digest, and the text that was sealed
        batches.ndjson                rows that were sealed together
        heads.ndjson                  published heads, with their time stamps
    verify.mjs                        the verifier. You need not trust it: docs/seal-format.md of AccuBooks says, byte by byte, how
                                      to write another one

Descriptions, memos and whatever else can tell of a person are in the text as salted digests. Amounts are in minor units.
${epochs.length > 1 ? `\nEPOCHS\n\n${epochs.map(epochText).join('\n')}\n` : ''}`;
}

function epochText({ epoch, beganAt, operator, reason }: Epoch): string {
  return `    ${epoch}  began ${beganAt}${operator === null ? '' : `, by ${operator}`}${reason === null ? '' : `: ${reason}`}`;
}
