/** What the bundle is made of: every workflow type, under the name that it is started by. */
export { write } from './write.ts';
export { writeGroup } from './write-group.ts';
