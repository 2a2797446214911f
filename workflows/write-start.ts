import { memoOf, type WriteArguments } from './messages.ts';
import { writeSearchAttributes } from './search-attributes.ts';

/** What every start of a write's own workflow has, whoever starts it: the API, a group, or a registered workflow. */
export function writeStartOptions(write: WriteStart) {
  const { companyId, operation, key } = write.args;
  return {
    workflowId: write.workflowId,
    args: [write.args] as [WriteArguments],
    memo: memoOf(write.args),
    typedSearchAttributes: writeSearchAttributes(companyId, operation, key),
    staticSummary: write.summary,
    // A run that failed left nothing to attach to: the same key starts another, and the row decides.
    workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
  } as const;
}

/** The same as a child, which continues after its parent closes. */
export function childWriteOptions(write: WriteStart) {
  return { ...writeStartOptions(write), parentClosePolicy: 'ABANDON' } as const;
}

type WriteStart = { readonly args: WriteArguments; readonly workflowId: string; readonly summary: string };
