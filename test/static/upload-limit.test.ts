import { describe, expect, test } from 'vitest';
import { createUploadLimit } from '../../api/batches/upload-limit.ts';
import { deferred } from '../../worker/timeouts.ts';

describe('uploads in progress', () => {
  test('are bounded for each company, and in all; what is refused takes no place, what has ended leaves its own', async () => {
    const limit = createUploadLimit({ perCompany: 2, inAll: 3 });
    const ends = [deferred<void>(), deferred<void>(), deferred<void>()] as const;
    const [first, second, third] = ends.map((end, index) =>
      limit.within(index < 2 ? 'one' : 'other', async () => {
        await end.promise;
        if (index === 0) throw new Error('broken off');
      }),
    );
    expect(limit.open).toBe(3);
    const begun: string[] = [];
    const another = (company: string) => limit.within(company, async () => begun.push(company));
    await expect(another('one')).rejects.toMatchObject({ code: 'rate_limited' });
    await expect(another('other')).rejects.toMatchObject({ code: 'overloaded' });
    await expect(another('third')).rejects.toMatchObject({ code: 'overloaded' });
    expect([limit.open, begun]).toEqual([3, []]);

    ends[2].resolve();
    await third;
    await expect(another('one')).rejects.toMatchObject({ code: 'rate_limited' });
    await another('other');
    ends[0].resolve();
    await expect(first).rejects.toThrow('broken off');
    await another('one');
    ends[1].resolve();
    await second;
    expect([limit.open, begun]).toEqual([0, ['other', 'one']]);
  });
});
