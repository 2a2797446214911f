import { defineSearchAttributeKey, type SearchAttributePair, SearchAttributeType } from '@temporalio/common';

/** The names of the search attributes, all of type Keyword. A server that lacks one refuses every start. */
export const SEARCH_ATTRIBUTE_NAMES = ['CompanyId', 'Operation', 'Outcome', 'IdempotencyKey'] as const;

export function keyword(name: (typeof SEARCH_ATTRIBUTE_NAMES)[number], value: string): SearchAttributePair {
  return { key: defineSearchAttributeKey(name, SearchAttributeType.KEYWORD), value };
}

/** The attributes to find a write by in Temporal. */
export function writeSearchAttributes(companyId: string, operation: string, idempotencyKey: string) {
  return [keyword('CompanyId', companyId), keyword('Operation', operation), keyword('IdempotencyKey', idempotencyKey)];
}
