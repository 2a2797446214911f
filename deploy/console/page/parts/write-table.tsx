import type { WriteSummary } from '../../../client/src/generated/types.ts';
import { moneyText } from '../money.ts';
import { instantText } from '../time.ts';
import { useCompany } from './company.tsx';
import { Scrollable } from './scrollable.tsx';
import { State } from './state.tsx';

/** Writes, each with a link to its page, which is below `base`. The columns have their places whatever is in them. */
export function WriteTable({
  writes,
  isLoading,
  base = '/console/writes',
}: {
  readonly writes: readonly WriteSummary[] | undefined;
  readonly isLoading: boolean;
  readonly base?: string;
}) {
  return (
    <Scrollable label="Writes">
      <table class="writes" aria-busy={isLoading && writes === undefined}>
        <thead>
          <tr>
            <th scope="col">Key</th>
            <th scope="col">State</th>
            <th scope="col" class="money">
              Amount
            </th>
            <th scope="col">Document</th>
            <th scope="col">Operation</th>
            <th scope="col">Requested</th>
          </tr>
        </thead>
        <tbody>
          {writes?.map((write) => (
            <Row key={write.key} write={write} base={base} />
          ))}
        </tbody>
      </table>
    </Scrollable>
  );
}

function Row({ write, base }: { readonly write: WriteSummary; readonly base: string }) {
  const { timeZone } = useCompany();
  const { number = null, amount = null, currency = null } = write.document ?? {};
  return (
    <tr>
      <th scope="row">
        <a class="key" href={`${base}/${encodeURIComponent(write.key)}`}>
          {write.key}
        </a>
      </th>
      <td>
        <State state={write.state} />
      </td>
      <td class="money">{amount === null || currency === null ? '' : `${moneyText(amount, currency)} ${currency}`}</td>
      <td>{number ?? ''}</td>
      <td>{write.operation ?? 'unknown'}</td>
      <td>{instantText(write.requestedAt, timeZone)}</td>
    </tr>
  );
}
