/** The text in lines of at most so many characters; `indentation` comes before each but the first. */
export function wrapped(text: string, characters: number, indentation = ''): string[] {
  const [first = '', ...words] = text.split(' ');
  const lines = [first];
  for (const word of words) {
    const longer = `${lines.at(-1)} ${word}`;
    if (longer.length <= characters) lines[lines.length - 1] = longer;
    else lines.push(indentation + word);
  }
  return lines;
}
