import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { type System, startSystem } from '../support/system.ts';

// biome-ignore lint/suspicious/noExplicitAny: their schemas are checked elsewhere
type Manifest = any;

function manifestsIn(file: string): Manifest[] {
  return parseAllDocuments(readFileSync(`deploy/kubernetes/base/${file}`, 'utf8')).map((document) => document.toJS());
}

describe('KEDA’s credentials', () => {
  const secrets = manifestsIn('shared/external-secrets.yaml');
  const propertiesOf = (name: string): Record<string, string> =>
    Object.fromEntries(
      secrets
        .find(({ kind, spec }) => kind === 'ExternalSecret' && spec.target.name === name)
        .spec.data.map(({ secretKey, remoteRef }: Manifest) => [secretKey, remoteRef.property]),
    );
  const ofProcesses = ['accubooks-api', 'accubooks-worker', 'accubooks-migrate'].map(propertiesOf);

  test('are those of no process: whoever steals them cannot start, signal or end a run as one', () => {
    const triggers = manifestsIn('release/worker.yaml').filter(({ kind }) => kind === 'ScaledObject');
    const used = triggers.flatMap(({ spec }) =>
      spec.triggers
        .filter(({ type }: Manifest) => type === 'temporal')
        .map(({ authenticationRef }: Manifest) => authenticationRef?.name),
    );
    expect(new Set(used)).toEqual(new Set(['accubooks-keda']));
    const authentication = secrets.find(({ kind }) => kind === 'TriggerAuthentication');
    expect(authentication.metadata.name).toBe('accubooks-keda');
    for (const { parameter, name, key } of authentication.spec.secretTargetRef) {
      const property = propertiesOf(name)[key];
      expect(property).toBeDefined();
      // A server's CA is public.
      if (parameter === 'ca') continue;
      expect(ofProcesses.flatMap((properties) => Object.values(properties))).not.toContain(property);
    }
  });

  test('reach nothing but Temporal, and those of Prometheus nothing but metrics', () => {
    expect(Object.keys(propertiesOf('accubooks-keda')).every((key) => key.startsWith('TEMPORAL_TLS_'))).toBe(true);
    expect(propertiesOf('accubooks-metrics')).toEqual({ METRICS_TOKEN: 'METRICS_TOKEN' });
  });
});

describe('with Compose, who only measures', () => {
  const { services } = parse(readFileSync('deploy/compose.yaml', 'utf8'), { merge: true });
  const networksOf = (name: string): string[] => services[name].networks;

  test('shares no network with PostgreSQL or Temporal', () => {
    const ofStores = ['postgres', 'temporal'].flatMap(networksOf);
    for (const name of ['prometheus', 'grafana']) {
      expect([name, networksOf(name).filter((network) => ofStores.includes(network))]).toEqual([name, []]);
    }
  });

  test('holds no secret by which they are reached', () => {
    expect(services.prometheus.secrets).toEqual(['METRICS_TOKEN']);
    expect(services.grafana.secrets).toEqual(['GRAFANA_PASSWORD']);
  });

  test('and the Temporal UI, which has no login, changes nothing', () => {
    expect(services['temporal-ui'].environment.TEMPORAL_DISABLE_WRITE_ACTIONS).toBe('true');
  });
});

describe('the token of Prometheus', () => {
  const token = 'a-token-for-metrics-alone';
  let system: System;
  beforeAll(async () => {
    system = await startSystem({ environment: { METRICS_TOKEN: token } });
  });
  afterAll(() => system.stop());

  test('opens /metrics, and neither a read nor a write', async () => {
    const authorization = `Bearer ${token}`;
    const ask = async (path: string) => (await fetch(system.url + path, { headers: { authorization } })).status;
    expect(await ask('/metrics')).toBe(200);
    expect((await fetch(`${system.url}/metrics`)).status).toBe(401);
    expect(await ask('/api/customers')).toBe(401);
    const headers = { authorization, 'content-type': 'application/json', 'idempotency-key': 'measured' };
    const write = { method: 'POST', headers, body: '{"name":"Measured"}' };
    expect((await fetch(`${system.url}/api/customers`, write)).status).toBe(401);
  });

  test('shows no company, user or key', async () => {
    const company = await system.company('Secret Name Ltd');
    await company.api.created('/api/customers', { name: 'Unnamed' }, { key: 'a-key-of-a-client' });
    const page = await (await fetch(`${system.url}/metrics`, { headers: { authorization: `Bearer ${token}` } })).text();
    expect(page).toContain('idempotent_writes_total');
    for (const secret of [company.id, company.users.owner.id, 'a-key-of-a-client', 'Secret Name']) {
      expect(page).not.toContain(secret);
    }
  });
});
