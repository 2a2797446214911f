/** `npm run test:smoke:staging`. */
import { smokeCommand } from './command.ts';

await smokeCommand('staging');
