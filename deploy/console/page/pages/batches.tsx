import type { BatchSummary } from '../../../client/src/generated/types.ts';
import { Answered } from '../parts/answered.tsx';
import { useCompany } from '../parts/company.tsx';
import { More } from '../parts/more.tsx';
import { Progress } from '../parts/progress.tsx';
import { Scrollable } from '../parts/scrollable.tsx';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { usePages } from '../parts/use-pages.ts';
import { instantText } from '../time.ts';

/** The batches of the company, the newest first. */
export function BatchesPage() {
  useDocumentTitle('Batches');
  const { timeZone } = useCompany();
  const { first, items, more, error } = usePages<BatchSummary>('/api/batches?limit=50', { everyMs: 3_000 });
  return (
    <>
      <h1>Batches</h1>
      <Answered answer={first}>
        {() => (
          <>
            {items.length === 0 ? (
              <p>
                No batch is yours to see. A batch is a file of writes: <code>npm run batch -- submit FILE</code> sends
                one.
              </p>
            ) : (
              <Scrollable label="Batches">
                <table>
                  <thead>
                    <tr>
                      <th scope="col">Key</th>
                      <th scope="col">Operation</th>
                      <th scope="col">State</th>
                      <th scope="col">Progress</th>
                      <th scope="col">Sent</th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((batch) => (
                      <tr key={batch.id}>
                        <th scope="row">
                          <a class="key" href={`/console/batches/${encodeURIComponent(batch.key)}`}>
                            {batch.key}
                          </a>
                        </th>
                        <td>{batch.operation ?? 'each row its own'}</td>
                        <td>
                          <span class={`state batch-${batch.state}`}>{batch.state}</span>
                        </td>
                        <td>
                          <Progress batch={batch} />
                        </td>
                        <td class="nowrap">{instantText(batch.createdAt, timeZone)}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </Scrollable>
            )}
            <More more={more} error={error} />
          </>
        )}
      </Answered>
    </>
  );
}
