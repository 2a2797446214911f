import { defineConfig } from 'vitest/config';
import base from '../../vitest.config.ts';

/** `npm run histories:record`: see record-histories.ts. */
export default defineConfig({ test: { ...base.test, include: ['test/support/record-*histories.ts'] } });
