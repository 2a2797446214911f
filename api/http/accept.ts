/**
 * Which of the media types an `Accept` header prefers (RFC 9110, section 12.5.1): the one of the highest quality, of several
 * the one that it names, else the first. Also the first where it accepts none of them, which the RFC leaves to the server.
 */
export function preferredType<T extends string>(header: string | undefined, types: readonly [T, ...T[]]): T {
  const ranges = rangesOf(header ?? '');
  const [first] = types;
  let best = { type: first, ...acceptance(ranges, first) };
  for (const type of types) {
    const { quality, precision } = acceptance(ranges, type);
    const isBetter = quality > best.quality || (quality === best.quality && precision > best.precision);
    if (quality > 0 && isBetter) best = { type, quality, precision };
  }
  return best.type;
}

/** Media range → its quality. Of two that are the same, the first counts. */
function rangesOf(header: string): ReadonlyMap<string, number> {
  const ranges = new Map<string, number>();
  for (const part of header.split(',')) {
    const [range = '', ...parameters] = part.split(';').map((each) => each.trim().toLowerCase());
    const quality = parameters.find((each) => each.startsWith('q='))?.slice('q='.length);
    if (range !== '' && !ranges.has(range)) ranges.set(range, readQuality(quality));
  }
  return ranges;
}

/** One that cannot be read is ignored: the type is named all the same. */
function readQuality(text: string | undefined): number {
  return text !== undefined && /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(text) ? Number(text) : 1;
}

/** By the most precise range that has the type. */
function acceptance(ranges: ReadonlyMap<string, number>, type: string): { quality: number; precision: number } {
  const candidates = ['*/*', `${type.split('/')[0]}/*`, type];
  const precision = candidates.findLastIndex((range) => ranges.has(range));
  return { quality: ranges.get(candidates[precision] ?? '') ?? 0, precision };
}
