import { useEffect, useState } from 'preact/hooks';
import { ask } from '../api.ts';
import { currentSession } from '../session.ts';
import { useCompany } from './company.tsx';

type Access = { readonly email: string | null };

/** Each is asked for once: the security log tells of who reads addresses. */
const known = new Map<string, Promise<string>>();

/** A user by the address, where whoever is signed in is of the company and may read it; else by the ID. */
export function Person({ id }: { readonly id: string | null }) {
  const [name, setName] = useState<string>();
  const isMember = useCompany().userId !== '';
  useEffect(() => {
    let isShown = true;
    if (id !== null && isMember) void nameOf(id).then((found) => isShown && setName(found));
    return () => {
      isShown = false;
    };
  }, [id, isMember]);
  if (id === null) return <>nobody that is known</>;
  return name === undefined || name === id ? <code>{id}</code> : <span title={id}>{name}</span>;
}

function nameOf(id: string): Promise<string> {
  const asked = `${currentSession()?.token} ${id}`;
  const found =
    known.get(asked) ??
    ask<Access>(`/api/users/${encodeURIComponent(id)}`).then(
      ({ email }) => email ?? id,
      () => {
        known.delete(asked);
        return id;
      },
    );
  known.set(asked, found);
  return found;
}
