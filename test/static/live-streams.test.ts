import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { PassThrough } from 'node:stream';
import Fastify from 'fastify';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createLiveStreams, type LiveStreams, MAX_STREAMS, MAX_STREAMS_OF_ONE } from '../../api/operators/now/live.ts';
import type { Snapshot } from '../../api/operators/now/snapshot.ts';

const SNAPSHOT = { at: '2026-01-30T00:00:00.000Z' } as Snapshot;
const EVENT = `event: snapshot\ndata: ${JSON.stringify(SNAPSHOT)}\n\n`;
const allowed = async () => undefined;
const NOWHERE: Parameters<LiveStreams['open']>[0]['response'] = new PassThrough() as never;

function sourceOf(snapshot: () => Promise<Snapshot> = async () => SNAPSHOT) {
  return { snapshot: vi.fn<() => Promise<Snapshot>>(snapshot) };
}

/** Of an operator of its own unless one is named. */
const open = (streams: LiveStreams, { subject = String(randomUUID()), response = NOWHERE } = {}) =>
  streams.open({ subject, stillAllowed: allowed, response });

/** What has come so far, and whether the stream is over. */
function listen(stream: PassThrough) {
  const heard = { text: '', ended: false };
  stream.on('data', (bytes: Buffer) => {
    heard.text += bytes.toString();
  });
  stream.on('end', () => {
    heard.ended = true;
  });
  return heard;
}

describe('streams of snapshots', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
  afterEach(() => void vi.useRealTimers());
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const turn = async () => {
    vi.advanceTimersByTime(2_000);
    await settle();
  };

  test('have one at once, then one a turn, which is made once for all of them', async () => {
    const source = sourceOf();
    const streams = createLiveStreams(source);
    const heard = [1, 2, 3].map(() => listen(open(streams)));
    await settle();
    expect(heard.map(({ text }) => text)).toEqual([EVENT, EVENT, EVENT]);
    expect(source.snapshot).toHaveBeenCalledTimes(1);
    await turn();
    expect(heard.map(({ text }) => text)).toEqual([EVENT + EVENT, EVENT + EVENT, EVENT + EVENT]);
    expect(source.snapshot).toHaveBeenCalledTimes(2);
  });

  test('end with the token, each for itself', async () => {
    const streams = createLiveStreams(sourceOf());
    let isAllowed = true;
    const own = listen(
      streams.open({
        response: NOWHERE,
        subject: 'ada',
        stillAllowed: () => (isAllowed ? Promise.resolve() : Promise.reject(new Error('expired'))),
      }),
    );
    const other = listen(open(streams));
    await settle();
    isAllowed = false;
    await turn();
    expect(own).toEqual({ text: EVENT, ended: true });
    expect(other).toEqual({ text: EVENT + EVENT, ended: false });
  });

  test('end when the process is about to end, and none is opened any more', async () => {
    const streams = createLiveStreams(sourceOf());
    const heard = listen(open(streams));
    await settle();
    streams.end();
    await settle();
    expect(heard.ended).toBe(true);
    expect(() => open(streams)).toThrow('about to end');
  });

  test('say that they are there while a snapshot takes long', async () => {
    const source = sourceOf();
    const streams = createLiveStreams(source);
    const heard = listen(open(streams));
    await settle();
    source.snapshot.mockReturnValueOnce(new Promise(() => undefined));
    await turn();
    await turn();
    expect(heard.text).toBe(`${EVENT}: waiting\n\n`);
  });

  test('are no more than so many, and one that is closed makes room', async () => {
    const streams = createLiveStreams(sourceOf());
    const opened = Array.from({ length: MAX_STREAMS }, () => open(streams));
    expect(() => open(streams)).toThrow(`At most ${MAX_STREAMS}`);
    opened[0]?.destroy();
    await settle();
    expect(() => open(streams)).not.toThrow();
  });

  test('of one operator leave room for those of others', async () => {
    const streams = createLiveStreams(sourceOf());
    const own = Array.from({ length: MAX_STREAMS_OF_ONE }, () => open(streams, { subject: 'ada' }));
    expect(() => open(streams, { subject: 'ada' })).toThrow(`You follow ${MAX_STREAMS_OF_ONE}`);
    expect(() => open(streams, { subject: 'grace' })).not.toThrow();
    own[0]?.destroy();
    await settle();
    expect(() => open(streams, { subject: 'ada' })).not.toThrow();
  });

  test('of a reader that does not read end, and nobody is asked while there are none', async () => {
    const source = sourceOf(async () => ({ ...SNAPSHOT, notes: ['x'.repeat(700_000)] }));
    const streams = createLiveStreams(source);
    const stream = open(streams);
    await settle();
    await turn();
    await turn();
    expect(stream.writableEnded).toBe(true);
    const { calls } = source.snapshot.mock;
    const asked = calls.length;
    await turn();
    expect(calls.length).toBe(asked);
  });
});

test('a reader that does not read keeps no connection, and the process can end', async () => {
  const streams = createLiveStreams(sourceOf(async () => ({ ...SNAPSHOT, notes: ['x'.repeat(16_000_000)] })));
  const app = Fastify();
  app.addHook('preClose', async () => streams.end());
  app.get('/live', async (_request, reply) => reply.send(open(streams, { response: reply.raw })));
  await app.listen({ host: '127.0.0.1', port: 0 });
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
  socket.write('GET /live HTTP/1.1\r\nHost: test\r\n\r\n');
  const closed = once(app.server, 'connection').then(([served]) => once(served, 'close'));
  await once(app.server, 'request');
  await app.close();
  await closed;
  expect(app.server.listening).toBe(false);
  socket.destroy();
});
