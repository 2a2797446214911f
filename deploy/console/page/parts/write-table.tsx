import type { WriteSummary } from '../../../client/src/generated/types.ts';
import { instantText } from '../time.ts';
import { useCompany } from './company.tsx';
import { Scrollable } from './scrollable.tsx';
import { State } from './state.tsx';

/** Writes, each with a link to its page, which is below `base`. */
export function WriteTable({
  writes,
  isLoading,
  base = '/console/writes',
}: {
  readonly writes: readonly WriteSummary[] | undefined;
  readonly isLoading: boolean;
  readonly base?: string;
}) {
  const { timeZone } = useCompany();
  return (
    <Scrollable label="Writes">
      <table aria-busy={isLoading && writes === undefined}>
        <thead>
          <tr>
            <th scope="col">Key</th>
            <th scope="col">Operation</th>
            <th scope="col">State</th>
            <th scope="col">Requested</th>
          </tr>
        </thead>
        <tbody>
          {writes?.map((write) => (
            <tr key={write.key}>
              <th scope="row" class="key">
                <a href={`${base}/${encodeURIComponent(write.key)}`}>{write.key}</a>
              </th>
              <td>{write.operation ?? 'unknown'}</td>
              <td>
                <State state={write.state} />
              </td>
              <td class="nowrap">{instantText(write.requestedAt, timeZone)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scrollable>
  );
}
