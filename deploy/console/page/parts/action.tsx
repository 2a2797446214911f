import { type ComponentChildren, createContext } from 'preact';
import { useCallback, useContext, useEffect, useId, useMemo, useRef, useState } from 'preact/hooks';
import { ApiError, ask } from '../api.ts';
import { fieldText } from './field-text.ts';
import { Problem } from './problem.tsx';

/** Something that changes what is there, and what is said of it before and afterwards. */
type Change<T> = {
  readonly path: string;
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
};

type Host = {
  open(change: Change<never>): void;
  /** How many have been sent. */
  readonly changes: number;
};

const HostContext = createContext<Host>({ open: () => undefined, changes: 0 });

/** Counts what has been changed here: whoever shows what may be otherwise now asks again. */
export function useChanges(): number {
  return useContext(HostContext).changes;
}

/** A button that opens the dialog of a change. `name`: on the button. */
export function Action<T>({ name, ...change }: Change<T> & { readonly name: string }) {
  const { open } = useContext(HostContext);
  return (
    <button type="button" class={change.isGrave ? 'outline grave' : 'outline'} onClick={() => open(change)}>
      {name}
    </button>
  );
}

/** Holds the dialog beside the page: what the API has answered stays to be read when the button is gone. */
export function ActionHost({ children }: { readonly children: ComponentChildren }) {
  const [change, setChange] = useState<Change<never>>();
  const [changes, setChanges] = useState(0);
  const host = useMemo(() => ({ open: setChange, changes }), [changes]);
  const close = useCallback(() => {
    setChange(undefined);
    // Where the button is gone with what it was for, the keyboard goes on in the page.
    setTimeout(() => document.activeElement === document.body && document.getElementById('main')?.focus());
  }, []);
  return (
    <HostContext.Provider value={host}>
      {children}
      {change === undefined ? null : (
        <ChangeDialog change={change} onSent={() => setChanges((n) => n + 1)} onClose={close} />
      )}
    </HostContext.Provider>
  );
}

/** Not what the API has refused for good. */
function mayBeSentAgain({ status, problem }: ApiError): boolean {
  return status === 0 || problem.retryable === true;
}

type Sent =
  | { readonly state: 'asking' }
  | { readonly state: 'sending' }
  | { readonly state: 'refused'; readonly error: ApiError }
  | { readonly state: 'done'; readonly answer: ComponentChildren };

type Dialog = { readonly change: Change<never>; onSent(): void; onClose(): void };

/**
 * Says what will happen, and sends when it is confirmed and at no other time: neither twice for two clicks, nor again by itself.
 *
 * The routes that it is for need no Idempotency-Key: a decision, a cancel or a pause that is sent again is the same one.
 */
function ChangeDialog({ change, onSent, onClose }: Dialog) {
  const { path, title, children, confirm, withComment = false, isGrave = false, answered, onDone } = change;
  const dialog = useRef<HTMLDialogElement>(null);
  const [sent, setSent] = useState<Sent>({ state: 'asking' });
  const isSending = useRef(false);
  const id = useId();
  useEffect(() => dialog.current?.showModal(), []);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (isSending.current) return;
    isSending.current = true;
    const comment = withComment ? fieldText(event, 'comment') : '';
    setSent({ state: 'sending' });
    try {
      const answer = await ask<never>(path, {
        send: { method: 'POST', ...(comment === '' ? {} : { body: { comment } }) },
      });
      setSent({ state: 'done', answer: answered(answer) });
    } catch (error) {
      const told = error instanceof ApiError ? error : new ApiError(0, { detail: String(error) });
      setSent({ state: 'refused', error: told });
    } finally {
      isSending.current = false;
      onDone();
      onSent();
    }
  };
  const isBusy = sent.state === 'sending';
  return (
    <dialog
      ref={dialog}
      aria-labelledby={`${id}-title`}
      onCancel={(event) => isBusy && event.preventDefault()}
      onClose={onClose}
    >
      <article>
        <h2 id={`${id}-title`}>{sent.state === 'done' ? 'The API has answered' : title}</h2>
        {sent.state === 'done' ? null : children}
        <form onSubmit={(event) => void submit(event)}>
          {withComment && sent.state !== 'done' ? (
            <label>
              Comment (optional; those who may read the write see it)
              <textarea name="comment" rows={2} maxLength={500} />
            </label>
          ) : null}
          <div aria-live="polite">
            {sent.state === 'done' ? <p>{sent.answer}</p> : null}
            {sent.state === 'refused' ? <Problem error={sent.error} isSent /> : null}
          </div>
          <footer class="choices">
            <button type="button" class="secondary" disabled={isBusy} onClick={() => dialog.current?.close()}>
              {sent.state === 'asking' || isBusy ? 'Leave it as it is' : 'Close'}
            </button>
            {sent.state === 'done' || (sent.state === 'refused' && !mayBeSentAgain(sent.error)) ? null : (
              <button type="submit" class={isGrave ? 'grave' : ''} aria-busy={isBusy} disabled={isBusy}>
                {sent.state === 'refused' ? 'Send it again' : confirm}
              </button>
            )}
          </footer>
        </form>
      </article>
    </dialog>
  );
}
