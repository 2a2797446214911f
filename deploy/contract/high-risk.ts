/** `npm run verify:high-risk-contract`: people, access, settings, stock. */
import { verifyContract } from './command.ts';

await verifyContract('high-risk');
