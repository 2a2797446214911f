import { useEffect } from 'preact/hooks';

/** The title of the tab, and what a screen reader says when the page changes. */
export function useDocumentTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} – AccuBooks console`;
  }, [title]);
}
