import { useState } from 'preact/hooks';
import { fieldText } from '../parts/field-text.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { claimsOf, hasExpired, signIn } from '../session.ts';

/** Signs in by a token, of a member or of an operator, or by both. `npm start` prints a link that brings both along. */
export function SignInPage({ onSignedIn }: { readonly onSignedIn: () => void }) {
  useDocumentTitle('Sign in');
  const [fault, setFault] = useState<string>();
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const tokens = fieldText(event, 'token').split(/\s+/);
    for (const token of tokens) {
      const claims = claimsOf(token);
      if (claims === undefined) return setFault('This is no token: it has three parts with dots between them (a JWT).');
      if (hasExpired(claims)) return setFault('This token has expired. Get a new one.');
    }
    for (const token of tokens) signIn(token);
    onSignedIn();
  };
  return (
    <main class="container narrow">
      <h1>AccuBooks console</h1>
      <form onSubmit={submit}>
        <label for="token">Token</label>
        <textarea
          id="token"
          name="token"
          rows={4}
          required
          autocomplete="off"
          spellcheck={false}
          aria-invalid={fault === undefined ? undefined : true}
          aria-describedby="token-help"
        />
        <small id="token-help" role={fault === undefined ? undefined : 'alert'}>
          {fault ??
            'Of a member, of an operator, or both with a space between them. npm start prints a link that signs you in; npm run token makes one.'}
        </small>
        <button type="submit">Sign in</button>
      </form>
    </main>
  );
}
