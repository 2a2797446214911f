import type { ComponentChildren } from 'preact';
import { useId, useRef, useState } from 'preact/hooks';
import { ApiError, ask } from '../api.ts';
import { fieldText } from './field-text.ts';
import { Problem } from './problem.tsx';

type Sent =
  | { readonly state: 'asking' }
  | { readonly state: 'sending' }
  | { readonly state: 'refused'; readonly error: ApiError }
  | { readonly state: 'done'; readonly answer: ComponentChildren };

/**
 * A button that changes something, behind a dialog that says what will happen. It sends when it is confirmed and at no other time:
 * neither twice for two clicks, nor again by itself. What the API answers is shown in the dialog.
 *
 * The routes that it is for need no Idempotency-Key: a decision, a cancel or a pause that is sent again is the same one.
 */
export function Action<T>({
  path,
  name,
  title,
  children,
  confirm,
  withComment = false,
  isGrave = false,
  answered,
  onDone,
}: {
  readonly path: string;
  /** On the button. */
  readonly name: string;
  readonly title: string;
  /** What will happen. */
  readonly children: ComponentChildren;
  /** On the button that sends it. */
  readonly confirm: string;
  readonly withComment?: boolean;
  /** It cannot be undone. */
  readonly isGrave?: boolean;
  /** What the answer says. */
  readonly answered: (answer: T) => ComponentChildren;
  readonly onDone: () => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [sent, setSent] = useState<Sent>({ state: 'asking' });
  const isSending = useRef(false);
  const id = useId();
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (isSending.current) return;
    isSending.current = true;
    const comment = withComment ? fieldText(event, 'comment') : '';
    setSent({ state: 'sending' });
    try {
      const answer = await ask<T>(path, { send: { method: 'POST', ...(comment === '' ? {} : { body: { comment } }) } });
      setSent({ state: 'done', answer: answered(answer) });
      onDone();
    } catch (error) {
      const told = error instanceof ApiError ? error : new ApiError(0, { detail: String(error) });
      setSent({ state: 'refused', error: told });
      onDone();
    } finally {
      isSending.current = false;
    }
  };
  const open = () => {
    setSent({ state: 'asking' });
    dialog.current?.showModal();
  };
  return (
    <>
      <button type="button" class={isGrave ? 'outline grave' : 'outline'} onClick={open}>
        {name}
      </button>
      <dialog
        ref={dialog}
        aria-labelledby={`${id}-title`}
        onCancel={(event) => isSending.current && event.preventDefault()}
      >
        <article>
          <h2 id={`${id}-title`}>{title}</h2>
          {children}
          <form onSubmit={submit}>
            {withComment && sent.state !== 'done' ? (
              <label>
                Comment (optional; those who may read the write see it)
                <textarea name="comment" rows={2} maxLength={500} />
              </label>
            ) : null}
            <div aria-live="polite">
              {sent.state === 'done' ? (
                <p class="answer">
                  <strong>The API has answered.</strong> {sent.answer}
                </p>
              ) : null}
              {sent.state === 'refused' ? <Problem error={sent.error} /> : null}
            </div>
            <footer class="choices">
              <button
                type="button"
                class="secondary"
                disabled={sent.state === 'sending'}
                onClick={() => dialog.current?.close()}
              >
                {sent.state === 'done' ? 'Close' : 'Leave it as it is'}
              </button>
              {sent.state === 'done' ? null : (
                <button
                  type="submit"
                  class={isGrave ? 'grave' : ''}
                  aria-busy={sent.state === 'sending'}
                  disabled={sent.state === 'sending'}
                >
                  {confirm}
                </button>
              )}
            </footer>
          </form>
        </article>
      </dialog>
    </>
  );
}
