/** What was typed into a field of the form that was submitted, without spaces around it. */
export function fieldText(event: SubmitEvent, name: string): string {
  const value = new FormData(event.currentTarget as HTMLFormElement).get(name);
  return typeof value === 'string' ? value.trim() : '';
}
