/** An instant as people of a place read it, to the millisecond where there is one. */
export function instantText(instant: string, zone: string): string {
  const timeZone = known(zone);
  const day = new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' }).format(new Date(instant));
  const time = new Intl.DateTimeFormat('en-GB', {
    ...{ timeZone, hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 as const },
    timeZoneName: 'short',
  }).format(new Date(instant));
  return `${day} ${time}`;
}

const zones = new Map<string, string>();

/** A zone that this browser does not know is shown as UTC, by whose name each time is followed. */
function known(zone: string): string {
  const found = zones.get(zone);
  if (found !== undefined) return found;
  let timeZone = zone;
  try {
    new Intl.DateTimeFormat('en', { timeZone });
  } catch {
    timeZone = 'UTC';
  }
  zones.set(zone, timeZone);
  return timeZone;
}

/** How long after another instant: "+12 ms", "+3.4 s", "+2 h 5 min". */
export function afterText(sinceMs: number): string {
  const ms = Math.max(0, sinceMs);
  if (ms < 1_000) return `+${Math.round(ms)} ms`;
  if (ms < 60_000) return `+${(ms / 1_000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `+${minutes} min ${Math.floor((ms % 60_000) / 1_000)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `+${hours} h ${minutes % 60} min` : `+${Math.floor(hours / 24)} days`;
}

/** A length of time: "80 ms", "3.4 s", "12 min", "2 h 5 min", "3 days". */
export function lengthText(seconds: number): string {
  if (seconds > 0 && seconds < 1) return `${Math.round(seconds * 1_000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** A moment of today in UTC: "13:07:30". `seconds` since 1970. */
export function clockText(seconds: number): string {
  return new Date(seconds * 1_000).toISOString().slice(11, 19);
}
