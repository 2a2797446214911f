import type { ComponentChildren } from 'preact';
import { useEffect, useErrorBoundary } from 'preact/hooks';

/** A page that fails leaves the frame as it is, and is tried again on the next address. `path`: of the page. */
export function Boundary({ path, children }: { readonly path: string; readonly children: ComponentChildren }) {
  const [error, tryAgain] = useErrorBoundary();
  useEffect(() => tryAgain(), [path]);
  return error === undefined ? <>{children}</> : <FailedPage />;
}

/** In the place of a page that cannot be shown: a part of it was not there, such as after a new release, or it has a fault. */
export function FailedPage() {
  return (
    <div class="problem" role="alert">
      <p>
        <strong>This page cannot be shown.</strong> Load it anew: a new release of the console may have taken the place
        of the one that is open.
      </p>
      <button type="button" onClick={() => location.reload()}>
        Load it anew
      </button>
    </div>
  );
}
