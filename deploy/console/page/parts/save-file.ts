/** Has the browser save a file. */
export function saveFile(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = Object.assign(document.createElement('a'), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Of a key, what a file may be called everywhere. */
export function fileNameOf(key: string): string {
  return key.replace(/[^\w.-]+/g, '_').slice(0, 80);
}
