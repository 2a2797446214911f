import { expect, test } from 'vitest';
import { openLoop } from '../../deploy/load/loops.ts';

test('an open loop sends its first request at once, not when its second is due', async () => {
  let sent = 0;
  const once = async () => {
    sent += 1;
    return true;
  };
  // The second would be due after an hour.
  await openLoop(1 / 3_600, once, { warmUpMs: 0, measureMs: 100 });
  expect(sent).toBe(1);
});
