import pg from 'pg';

/** Waits for the database's NOTIFY, at most for a given time. Behind a transaction pooler no NOTIFY arrives. */
export type Wakeups = {
  /** Resolves at a notification (one since the last call counts), after `limitMs`, or on the signal. */
  next(limitMs: number, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
};

const CONNECT_TIMEOUT_MS = 5_000;

/** Wakes within the process. */
export type Bell = Pick<Wakeups, 'next'> & { ring(): void };

export function createBell(): Bell {
  let rung = false;
  let wake = () => {};
  return {
    ring() {
      rung = true;
      wake();
    },
    async next(limitMs, signal) {
      if (!rung && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const done = () => {
            clearTimeout(timer);
            signal.removeEventListener('abort', done);
            resolve();
          };
          const timer = setTimeout(done, limitMs);
          signal.addEventListener('abort', done);
          wake = done;
        });
      }
      rung = false;
    },
  };
}

/** Uses a connection of its own, because LISTEN is session state, and reconnects after a loss. */
export function listenToOutbox(connectionString: string): Wakeups {
  const bell = createBell();
  let listening: Promise<pg.Client | undefined> | undefined;

  async function listen(): Promise<pg.Client | undefined> {
    const client = new pg.Client({
      connectionString,
      application_name: 'accubooks-relay-wakeups',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
    });
    const lost = () => {
      listening = undefined;
    };
    client.on('error', lost).on('end', lost);
    client.on('notification', bell.ring);
    try {
      await client.connect();
      await client.query('LISTEN outbox');
      return client;
    } catch {
      lost();
      await client.end().catch(() => undefined);
      return undefined;
    }
  }

  return {
    async next(limitMs, signal) {
      listening ??= listen();
      await bell.next(limitMs, signal);
    },
    async close() {
      const client = await listening;
      await client?.end();
    },
  };
}
