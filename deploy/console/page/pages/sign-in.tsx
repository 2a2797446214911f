import { useEffect, useState } from 'preact/hooks';
import type { ConsoleConfig } from '../../../../api/console/routes.ts';
import type { Provider } from '../identity-provider.ts';
import { fieldText } from '../parts/field-text.ts';
import { Problem } from '../parts/problem.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { useDocumentTitle } from '../parts/use-document-title.ts';
import {
  byKind,
  faultOf,
  isBack,
  isSignedInOtherwise,
  type Kind,
  linkedTokens,
  NAMES,
  signIn,
  type Tokens,
  takeNotice,
} from '../session.ts';

/** Only whoever signs in at a provider needs it. */
const identityProvider = () => import('../identity-provider.ts');

export function SignInPage() {
  useDocumentTitle('Sign in');
  const [notice] = useState(takeNotice);
  return (
    <main class="container narrow">
      <h1>AccuBooks console</h1>
      {notice === undefined ? null : <p role="alert">{notice} Sign in with another one.</p>}
      <SignIn />
    </main>
  );
}

/** In the place of a page that is for members, or for operators, where whoever has signed in is not that as well. */
export function SignInAlso({ as }: { readonly as: Kind }) {
  useDocumentTitle('Sign in');
  return (
    <>
      <h1>Sign in as {NAMES[as]}</h1>
      <p>
        This page is for {as === 'member' ? 'members of a company' : 'operators of the system'}. You stay signed in as
        what you are.
      </p>
      <SignIn as={as} />
    </>
  );
}

/**
 * A link with tokens in it. It signs in at once where nobody has signed in and no provider says who somebody is: otherwise whoever
 * sends a link could make others work in a company of the sender's.
 */
export function SignInByLink({ tokens }: { readonly tokens: Tokens }) {
  useDocumentTitle('Sign in');
  const { data: config, error, again } = useAnswer<ConsoleConfig>('/console/config.json');
  const isAsked = isSignedInOtherwise(tokens) || config?.signIn != null;
  const fault = Object.values(tokens).map(faultOf).find(Boolean);
  const leave = () => {
    history.replaceState(null, '', location.pathname + location.search);
    location.reload();
  };
  const follow = () => {
    history.replaceState(null, '', location.pathname + location.search);
    signIn(tokens, { instead: true });
  };
  const isReady = config !== undefined && !isAsked && fault === undefined;
  useEffect(() => {
    if (isReady) follow();
  }, [isReady]);
  return (
    <main class="container narrow">
      <h1>AccuBooks console</h1>
      {error === undefined ? null : <Problem error={error} onAgain={again} />}
      {fault === undefined ? null : <p role="alert">The link that you have opened does not sign in. {fault}</p>}
      {fault !== undefined || (config !== undefined && isAsked) ? (
        <>
          {fault === undefined ? (
            <>
              <p>
                The link that you have opened signs you in otherwise than you are now, maybe as somebody else. Go on
                only if it is yours: whoever has made it would see what you do.
              </p>
              <button type="button" class="secondary" onClick={follow}>
                Sign in by the link
              </button>
            </>
          ) : null}
          <button type="button" onClick={leave}>
            Go on without it
          </button>
        </>
      ) : null}
    </main>
  );
}

/**
 * By the identity provider, where there is one, or by a token, of a member or of an operator, or by both. `npm start` prints a link
 * that brings both along. `as`: only as that.
 */
function SignIn({ as }: { readonly as?: Kind }) {
  const { data: config, error, again } = useAnswer<ConsoleConfig>('/console/config.json');
  const provider = config?.signIn;
  return (
    <>
      {error === undefined ? null : <Problem error={error} onAgain={again} />}
      {provider == null ? null : <AtProvider provider={provider} as={as} />}
      {config === undefined ? null : <ByToken isFolded={provider != null} as={as} />}
    </>
  );
}

function AtProvider({ provider, as }: { readonly provider: Provider; readonly as: Kind | undefined }) {
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
      .catch(fail);
  }, []);
  const leave = (asWhom: Kind) => {
    setBusy(true);
    identityProvider()
      .then(({ leaveForProvider }) => leaveForProvider(provider, asWhom))
      .catch(fail);
  };
  return (
    <>
      {fault === undefined ? null : <p role="alert">{fault}</p>}
      {as === 'operator' ? null : (
        <button type="button" aria-busy={isBusy} disabled={isBusy} onClick={() => leave('member')}>
          Sign in
        </button>
      )}
      {provider.operatorAudience === null || as === 'member' ? null : (
        <button type="button" class="secondary" disabled={isBusy} onClick={() => leave('operator')}>
          Sign in as operator
        </button>
      )}
    </>
  );
}

function ByToken({ isFolded, as }: { readonly isFolded: boolean; readonly as: Kind | undefined }) {
  const [fault, setFault] = useState<string>();
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const text = fieldText(event, 'token');
    const given = linkedTokens(text) ?? byKind(text.split(/\s+/));
    const wrong = Object.values(given).map(faultOf).find(Boolean);
    if (wrong !== undefined) return setFault(wrong);
    if (as !== undefined && given[as] === undefined)
      return setFault(
        as === 'member' ? 'This token is of no member.' : 'This token is of a member, and of no operator.',
      );
    signIn(given);
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
          'Of a member, of an operator, or both with a space between them. Or the whole link that npm start prints; npm run token makes a token.'}
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
