import { describe, expect, test } from 'vitest';
import { ROLLOUT_ALERTS, readCriteria, scoped } from '../../deploy/rollout/criteria.ts';

describe('an alert is asked of one version alone', () => {
  const green = (expression: string, window?: string) => scoped(expression, { version: 'green', window });

  test('each selector is narrowed, whatever stands around it', () => {
    expect(green('up == 0')).toBe('up{version="green"} == 0');
    expect(green('up{}')).toBe('up{version="green"}');
    expect(green('up{job="api",instance!="x"} == 0')).toBe('up{version="green",job="api",instance!="x"} == 0');
    expect(green('sum(rate(a_total{s="failed"}[5m])) / sum(rate(a_total[5m])) > 0.1')).toBe(
      'sum(rate(a_total{version="green",s="failed"}[5m])) / sum(rate(a_total{version="green"}[5m])) > 0.1',
    );
  });

  test('names of functions, labels and strings are none', () => {
    expect(green('sum by (version, up) (max_over_time(up[1m]))')).toBe(
      'sum by (version, up) (max_over_time(up{version="green"}[1m]))',
    );
    expect(green('label_replace(up, "up", "up", "job", "up")')).toBe(
      'label_replace(up{version="green"}, "up", "up", "job", "up")',
    );
  });

  test('a version of any name stays one string', () => {
    expect(scoped('up', { version: '1"} or vector(1)' })).toBe('up{version="1\\"} or vector(1)"}');
  });

  test('ranges become the window of the step', () => {
    expect(green('histogram_quantile(0.95, sum by (le) (rate(d_bucket[5m]))) > increase(x[1h])', '30s')).toBe(
      'histogram_quantile(0.95, sum by (le) (rate(d_bucket{version="green"}[30s]))) > increase(x{version="green"}[30s])',
    );
  });

  test('what is not valid PromQL, and rules that lack a criterion, are refused', () => {
    expect(() => green('sum(up')).toThrow(/not valid PromQL/);
    const rules = (names: readonly string[]) =>
      JSON.stringify({ groups: [{ rules: names.map((alert) => ({ alert, expr: 'up == 0' })) }] });
    expect(readCriteria(rules(ROLLOUT_ALERTS), { version: 'v' })).toHaveLength(ROLLOUT_ALERTS.length);
    expect(() => readCriteria(rules(ROLLOUT_ALERTS.slice(1)), { version: 'v' })).toThrow(/no alert WritesFailing/);
  });
});
