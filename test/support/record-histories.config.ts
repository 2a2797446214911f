import { defineConfig } from 'vitest/config';
import base, { servers } from '../../vitest.config.ts';

const { projects: _, ...test } = base.test ?? {};

/** `npm run histories:record`: see record-histories.ts. */
export default defineConfig({ test: { ...test, ...servers, include: ['test/support/record-*histories.ts'] } });
