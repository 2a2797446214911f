import { useEffect, useState } from 'preact/hooks';
import type { ConsoleConfig } from '../../../../api/console/routes.ts';
import type { Provider, SignInAs } from '../identity-provider.ts';
import { fieldText } from '../parts/field-text.ts';
import { Problem } from '../parts/problem.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import { claimsOf, hasExpired, isBack, signIn } from '../session.ts';

/** Only whoever signs in at a provider needs it. */
const identityProvider = () => import('../identity-provider.ts');

type SignedIn = { readonly onSignedIn: () => void };

export function SignInPage({ onSignedIn }: SignedIn) {
  useDocumentTitle('Sign in');
  return (
    <main class="container narrow">
      <h1>AccuBooks console</h1>
      <SignIn onSignedIn={onSignedIn} />
    </main>
  );
}

/** In the place of a page that is for members, or for operators, where whoever has signed in is not that as well. */
export function SignInAlso({ as }: { readonly as: SignInAs }) {
  useDocumentTitle('Sign in');
  return (
    <>
      <h1>Sign in as {as === 'member' ? 'a member' : 'an operator'}</h1>
      <p>
        This page is for {as === 'member' ? 'members of a company' : 'operators of the system'}. You stay signed in as
        what you are.
      </p>
      <SignIn onSignedIn={() => location.reload()} />
    </>
  );
}

/**
 * By the identity provider, where there is one, or by a token, of a member or of an operator, or by both. `npm start` prints a link
 * that brings both along.
 */
function SignIn({ onSignedIn }: SignedIn) {
  const { data: config, error, again } = useAnswer<ConsoleConfig>('/console/config.json');
  const provider = config?.signIn;
  return (
    <>
      {error === undefined ? null : <Problem error={error} onAgain={again} />}
      {provider == null ? null : <AtProvider provider={provider} onSignedIn={onSignedIn} />}
      {config === undefined ? null : <ByToken onSignedIn={onSignedIn} isFolded={provider != null} />}
    </>
  );
}

function AtProvider({ provider, onSignedIn }: SignedIn & { readonly provider: Provider }) {
  const [isBusy, setBusy] = useState(isBack());
  const [fault, setFault] = useState<string>();
  const fail = (error: unknown) => {
    setBusy(false);
    setFault(`Signing in has failed: ${error instanceof Error ? error.message : String(error)}`);
  };
  useEffect(() => {
    if (!isBack()) return;
    identityProvider()
      .then(({ comeBack }) => comeBack(provider))
      .then(onSignedIn, fail);
  }, []);
  const leave = (as: SignInAs) => {
    setBusy(true);
    identityProvider()
      .then(({ leaveForProvider }) => leaveForProvider(provider, as))
      .catch(fail);
  };
  return (
    <>
      {fault === undefined ? null : <p role="alert">{fault}</p>}
      <button type="button" aria-busy={isBusy} disabled={isBusy} onClick={() => leave('member')}>
        Sign in
      </button>
      {provider.operatorAudience === null ? null : (
        <button type="button" class="secondary" disabled={isBusy} onClick={() => leave('operator')}>
          Sign in as operator
        </button>
      )}
    </>
  );
}

function ByToken({ onSignedIn, isFolded }: SignedIn & { readonly isFolded: boolean }) {
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
  const form = (
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
      <button type="submit">Sign in with this token</button>
    </form>
  );
  if (!isFolded) return form;
  return (
    <details>
      <summary>With a token</summary>
      {form}
    </details>
  );
}
