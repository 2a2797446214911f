import { defineSearchAttributeKey, type SearchAttributePair, SearchAttributeType } from '@temporalio/common';
import { ParentClosePolicy } from '@temporalio/workflow';
import { memoOf, searchAttributesOf, type WriteArguments } from './messages.ts';

/** The options to start a write's key workflow as a child: those that the API would use, and it outlives its parent. */
export function childWriteOptions(write: {
  readonly args: WriteArguments;
  readonly workflowId: string;
  readonly summary: string;
}) {
  return {
    workflowId: write.workflowId,
    args: [write.args] as [WriteArguments],
    memo: memoOf(write.args),
    typedSearchAttributes: Object.entries(searchAttributesOf(write.args)).map(keyword),
    staticSummary: write.summary,
    workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
    parentClosePolicy: ParentClosePolicy.ABANDON,
  } as const;
}

function keyword([name, value]: [string, string]): SearchAttributePair {
  return { key: defineSearchAttributeKey(name, SearchAttributeType.KEYWORD), value };
}
