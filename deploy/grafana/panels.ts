/** Dashboards as rows of panels, and their translation to Grafana's JSON. */

export type Dashboard = { readonly uid: string; readonly title: string; readonly rows: readonly Row[] };

type Row = { readonly title: string; readonly panels: readonly Panel[] };

export type Panel = {
  readonly title: string;
  /** What it shows, and which value is a problem. */
  readonly description: string;
  /** Grafana's name of the unit. */
  readonly unit: 'short' | 's' | 'ms' | 'percentunit' | 'reqps' | 'bytes';
  readonly kind: 'graph' | 'number';
  readonly queries: readonly Query[];
};

export type Query = {
  readonly expr: string;
  /** Grafana's form: `{{operation}}`. */
  readonly legend: string;
};

/** The schema version of Grafana 10; older versions accept it, and newer ones migrate it. */
const SCHEMA_VERSION = 39;
/** The width of a dashboard in Grafana's grid units. */
const WIDTH = 24;
const HEIGHTS = { graph: 8, number: 4 } as const;
const ROW_HEIGHT = 1;

/** The dashboard as Grafana's JSON, with the panels of a row side by side. */
export function toGrafana({ uid, title, rows }: Dashboard): object {
  const panels: object[] = [];
  let y = 0;
  for (const row of rows) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y, w: WIDTH, h: ROW_HEIGHT },
      panels: [],
    });
    y += ROW_HEIGHT;
    const w = Math.floor(WIDTH / row.panels.length);
    const h = Math.max(...row.panels.map(({ kind }) => HEIGHTS[kind]));
    for (const [index, panel] of row.panels.entries()) {
      panels.push({ id: panels.length + 1, gridPos: { x: index * w, y, w, h }, ...toPanel(panel) });
    }
    y += h;
  }
  return {
    uid,
    title,
    tags: ['accubooks'],
    schemaVersion: SCHEMA_VERSION,
    version: 1,
    editable: false,
    timezone: 'utc',
    refresh: '30s',
    time: { from: 'now-1h', to: 'now' },
    templating: {
      list: [{ name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', current: {} }],
    },
    annotations: {
      list: [
        {
          name: 'Alerts',
          datasource: DATASOURCE,
          enable: true,
          iconColor: 'red',
          expr: 'ALERTS{alertstate="firing"}',
          titleFormat: '{{alertname}}',
        },
      ],
    },
    panels,
  };
}

const DATASOURCE = { type: 'prometheus', uid: '$' + '{datasource}' };

function toPanel({ title, description, unit, kind, queries }: Panel): object {
  return {
    title,
    description,
    type: kind === 'graph' ? 'timeseries' : 'stat',
    datasource: DATASOURCE,
    fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
    options:
      kind === 'graph' ? { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi' } } : {},
    targets: queries.map(({ expr, legend }, index) => ({
      refId: String.fromCharCode('A'.charCodeAt(0) + index),
      datasource: DATASOURCE,
      expr,
      legendFormat: legend,
      range: kind === 'graph',
      instant: kind === 'number',
    })),
  };
}
