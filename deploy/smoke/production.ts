/** `npm run test:smoke:production`. */
import { smokeCommand } from './command.ts';

await smokeCommand('production');
