/** `npm run --silent token:revoke -- --token-id ID --reason R`: refuses a token that has not expired yet. */
import { text } from 'node:stream/consumers';
import { decodeJwt } from 'jose';
import { command, run, withDatabase } from '../cli/command.ts';
import { ownerDatabaseUrl } from '../cli/config.ts';
import { osUser, recordCommand, sqlOf } from '../cli/operator-log.ts';

type Options = { tokenId?: string; stdin?: true; reason: string };

await run(
  command(
    'token:revoke',
    'Revokes a token by its ID, and prints {tokenId, revoked}. Processes refuse it within five seconds.',
  )
    .option('--token-id <jti>', 'the claim jti of the token')
    .option('--stdin', 'read the token itself from the standard input')
    .requiredOption('--reason <text>', 'why, for the record')
    .action(revokeToken),
);

async function revokeToken({ tokenId, stdin, reason }: Options): Promise<void> {
  if ((tokenId === undefined) === (stdin === undefined)) throw new Error('Give either --token-id or --stdin.');
  const id = tokenId ?? idOf(await text(process.stdin));
  await withDatabase(ownerDatabaseUrl(), async (client) => {
    await recordCommand(sqlOf(client), { name: 'token:revoke', details: { tokenId: id } });
    const { rowCount } = await client.query(
      `INSERT INTO revoked_tokens (token_id, reason, revoked_by) VALUES ($1, $2, session_user || '/' || $3)
       ON CONFLICT (token_id) DO NOTHING`,
      [id, reason, osUser()],
    );
    console.log(JSON.stringify({ tokenId: id, revoked: rowCount === 1 ? 'now' : 'before' }));
  });
}

function idOf(token: string): string {
  const { jti } = decodeJwt(token.trim());
  if (jti === undefined)
    throw new Error('The token has no ID (jti): only replacing the secret that signed it ends it.');
  return jti;
}
