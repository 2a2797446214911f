import type { ComponentChildren } from 'preact';

/** What may be wider than the window: it scrolls by itself, by the keyboard too. */
export function Scrollable({
  label,
  class: more,
  children,
}: {
  readonly label: string;
  readonly class?: string;
  readonly children: ComponentChildren;
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls what has the focus (WCAG 2.1.1).
    <section class={more === undefined ? 'scroll' : `scroll ${more}`} aria-label={label} tabIndex={0}>
      {children}
    </section>
  );
}
