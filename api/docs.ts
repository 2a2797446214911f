import type { FastifyInstance } from 'fastify';
import type { Operation } from '../activities/operation.ts';

export async function registerDocs(_app: FastifyInstance, _operations: readonly Operation[]): Promise<void> {}
