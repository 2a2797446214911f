import type { Operation } from '../../activities/operation.ts';

/**
 * Whether every company has a resource of its own at the path of this one: settings, policies, a member and a fiscal year have
 * no ID that derives from a write.
 */
export function isAtSamePath({ resource }: Operation): boolean {
  const { shape } = resource.schema;
  return !('id' in shape || 'items' in shape);
}
