/** `node deploy/healthcheck.js PORT`: exit code 0 when the process in this container lives. For Docker and Compose. */
const TIMEOUT_MS = 2_500;

const [, , port] = process.argv;
const answer = await fetch(`http://127.0.0.1:${port}/livez`, { signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(
  (error: Error) => ({ ok: false, status: error.message }),
);
if (!answer.ok) console.error(`/livez on port ${port}: ${answer.status}`);
process.exit(answer.ok ? 0 : 1);
