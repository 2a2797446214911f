/** An answer of one that takes a number, as stored, by its text. */
type Numbered = { readonly number: string };

/** Of the documents of one kind and company, which are all there are: the answers whose numbers do not run from 1 without a gap. */
export function outOfSequence(responses: readonly string[]): readonly string[] {
  const told = new Set<number>();
  return responses.filter((response) => {
    const number = Number((JSON.parse(response) as Numbered).number.replace(/^[A-Z]+-/, ''));
    // So many distinct numbers, none of them larger: there is no room for a gap.
    const isRight = number >= 1 && number <= responses.length && !told.has(number);
    told.add(number);
    return !isRight;
  });
}
