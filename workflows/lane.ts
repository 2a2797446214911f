import type { LaneArguments, PoisonArguments } from './messages.ts';

/** Does nothing: that a run of this name was started registers a process, which may then start the groups of the lane. */
export async function lane(_registered: LaneArguments): Promise<void> {}

/** Does nothing: it holds the name of a lane or group, so that no process can start one by that name any more. */
export async function poison(_poison: PoisonArguments): Promise<void> {}
