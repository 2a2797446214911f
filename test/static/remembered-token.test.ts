import { SignJWT } from 'jose';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createAuthenticate } from '../../api/http/auth.ts';

const SECRET = 'a-secret-of-the-tests-of-32-bytes-and-more';
const COMPANY = '4d0c2e3a-7b1f-4e58-9c66-1a5b8f0d2e01';
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'performance'] }));
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

async function sentAgain(after: () => void): Promise<{ readonly checks: number; readonly refused: boolean }> {
  const token = await new SignJWT({ company_id: COMPANY })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('user')
    .setIssuedAt()
    .setExpirationTime('2h')
    .sign(new TextEncoder().encode(SECRET));
  const checked = vi.spyOn(crypto.subtle, 'verify').mockClear();
  const authenticate = createAuthenticate({ JWT_SECRET: SECRET } as never);
  const send = () => authenticate({ headers: { authorization: `Bearer ${token}` } } as never);
  await send();
  after();
  const refused = await send().then(
    () => false,
    () => true,
  );
  return { checks: checked.mock.calls.length, refused };
}

test('the signature of a token is checked again after a minute, also when the clock was set back', async () => {
  expect(await sentAgain(() => void vi.advanceTimersByTime(MINUTE_MS - 1))).toEqual({ checks: 1, refused: false });
  const setBack = () => {
    vi.setSystemTime(Date.now() - HOUR_MS);
    vi.advanceTimersByTime(MINUTE_MS);
  };
  expect(await sentAgain(setBack)).toEqual({ checks: 2, refused: false });
});

test('a remembered token expires by the time of day', async () => {
  expect(await sentAgain(() => void vi.setSystemTime(Date.now() + 3 * HOUR_MS))).toMatchObject({ refused: true });
});
