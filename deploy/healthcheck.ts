/** `node deploy/healthcheck.js PORT`: exits 0 if the process in this container is alive. For Docker and Compose. */
const TIMEOUT_MS = 2_500;

const [, , port] = process.argv;
const answer = await fetch(`http://127.0.0.1:${port}/livez`, { signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(
  (error: Error) => ({ ok: false, status: error.message }),
);
if (!answer.ok) console.error(`/livez on port ${port}: ${answer.status}`);
process.exit(answer.ok ? 0 : 1);
