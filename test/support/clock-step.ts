/** The environment of a process whose clock is one hour behind, ahead and right again, one step at each SIGWINCH. */
export function steppedClock(): Record<string, string> {
  const shift = `
    const steps = [-3_600_000, 3_600_000, 0];
    let offset = 0;
    const now = Date.now.bind(Date);
    globalThis.Date = class extends Date {
      constructor(...args) { args.length === 0 ? super(now() + offset) : super(...args); }
      static now() { return now() + offset; }
    };
    process.on('SIGWINCH', () => { offset = steps.shift() ?? 0; });`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(shift)}` };
}
