import { beforeEach, describe, expect, test } from 'vitest';
import { CLUSTER_RULES } from '../support/cluster-rules.ts';
import { render, resolveKubectl } from '../support/kubectl.ts';
import { schemaFaults } from '../support/manifest-schemas.ts';
import { type Manifest, nameOf, ofKind } from '../support/manifests.ts';
import { POD_RULES } from '../support/pod-rules.ts';

const RULES = { ...POD_RULES, ...CLUSTER_RULES };

const found = await resolveKubectl();

const overlays = ['staging', 'production'];
const rendered = new Map<string, Manifest[]>();
if ('kubectl' in found) {
  for (const name of overlays) rendered.set(name, await render(found.kubectl, `deploy/kubernetes/${name}`));
}

describe('the manifests', () => {
  beforeEach(({ skip }) => {
    if ('missing' in found) skip(`there is no kubectl: ${found.missing}`);
  });

  const production = () => structuredClone(rendered.get('production') ?? []);

  test.each(overlays)('of %s are what Kubernetes and its extensions know', async (name) => {
    const manifests = rendered.get(name) ?? [];
    expect(manifests.length).toBeGreaterThan(20);
    expect((await Promise.all(manifests.map(schemaFaults))).flat()).toEqual([]);
  });

  for (const [promise, rule] of Object.entries(RULES)) {
    test.each(overlays)(`%s: ${promise}`, (name) => {
      expect(rule(rendered.get(name) ?? [])).toEqual([]);
    });
  }

  const spoilt: Readonly<Record<keyof typeof RULES, readonly [(manifests: Manifest[]) => unknown, string][]>> = {
    'runs as an ordinary user': [
      [(all) => delete pod(all).securityContext.runAsNonRoot, 'may run as root'],
      [(all) => Object.assign(pod(all).securityContext, { runAsUser: 0 }), 'may run as root'],
      [(all) => delete pod(all).securityContext.seccompProfile, 'seccomp'],
      [(all) => delete pod(all).automountServiceAccountToken, 'token of the cluster'],
    ],
    'is confined': [
      [(all) => delete container(all).securityContext.readOnlyRootFilesystem, 'may write to its disk'],
      [(all) => Object.assign(container(all).securityContext, { allowPrivilegeEscalation: true }), 'gain privileges'],
      [(all) => Object.assign(container(all).securityContext.capabilities, { drop: [] }), 'keeps capabilities'],
      [(all) => Object.assign(pod(all).initContainers[0], { securityContext: {} }), 'may write to its disk'],
    ],
    'has requests and limits': [
      [(all) => delete container(all).resources.requests, 'no requests'],
      [(all) => delete container(all).resources.limits, 'no memory limit'],
    ],
    'is of an exact version': [
      [(all) => Object.assign(container(all), { image: 'registry.example.com/accubooks:latest' }), 'no exact version'],
      [(all) => Object.assign(container(all), { image: 'registry.example.com/accubooks' }), 'no exact version'],
    ],
    'is probed': [[(all) => delete container(all).readinessProbe, 'no readinessProbe']],
    'has the time that it needs to drain': [
      [(all) => Object.assign(pod(all), { terminationGracePeriodSeconds: 70 }), 'is killed after 70 s'],
      [(all) => delete pod(all, 'accubooks-worker-blue').terminationGracePeriodSeconds, 'is killed after 30 s'],
    ],
    'is told only what our processes read': [
      [(all) => container(all).env.push({ name: 'DATABSE_URL', value: 'x' }), 'DATABSE_URL, which nothing reads'],
      [(all) => Object.assign(ofKind(all, 'ConfigMap')[0].data, { REDIS_URL: 'x' }), 'REDIS_URL, which nothing reads'],
      [(all) => container(all).env.push({ name: 'PORT_FILE', value: 'x' }), 'PORT_FILE, which nothing reads'],
    ],
    'gets each secret from the store, as a file': [
      [
        (all) => void one(all, 'ExternalSecret', 'accubooks-api').spec.data.shift(),
        'DATABASE_URL_FILE is in no ExternalSecret',
      ],
      [(all) => container(all).env.push({ name: 'JWT_SECRET', value: 'x' }), 'JWT_SECRET is given openly'],
      [
        (all) => Object.assign(settingOf(all, 'DATABASE_URL_FILE'), { value: '/secrets/METRICS_TOKEN' }),
        'is read from',
      ],
    ],
    'waits for its schema': [[(all) => delete pod(all).initContainers, 'starts without its schema']],
    'is disrupted one at a time': [
      [(all) => drop(all, 'PodDisruptionBudget', 'accubooks-api-blue'), 'accubooks-api-blue has not'],
    ],
    'no secret stands in the manifests': [[(all) => all.push({ kind: 'Secret', metadata: { name: 'x' } }), 'Secret x']],
    'nothing was left to be filled in': [
      [
        (all) => Object.assign(one(all, 'Gateway', 'accubooks').spec, { gatewayClassName: 'unset' }),
        'Gateway accubooks has a value',
      ],
    ],
    'a hundred of a hundred requests go somewhere': [
      [(all) => Object.assign(backends(all)[0], { weight: 90 }), 'the weights sum to 90'],
      [(all) => Object.assign(backends(all)[1], { name: 'accubooks-api-red' }), 'no Service accubooks-api-red'],
    ],
    'the public reaches the API, and neither figures nor probes': [
      [(all) => paths(all).push({ path: { type: 'PathPrefix', value: '/' } }), 'leads to /metrics'],
      [(all) => paths(all).push({ path: { type: 'Exact', value: '/metrics' } }), 'leads to /metrics'],
      [(all) => paths(all).push({ path: { type: 'RegularExpression', value: '/(livez|x)' } }), 'leads to /livez'],
      [(all) => paths(all).push({ headers: [] }), 'leads to /readyz'],
    ],
    'the public comes by TLS': [
      [
        (all) => Object.assign(one(all, 'Certificate', 'accubooks-tls').spec, { dnsNames: ['other.example.com'] }),
        'has no certificate',
      ],
      [(all) => delete one(all, 'HTTPRoute', 'accubooks-api').spec.parentRefs[0].sectionName, 'answers without TLS'],
    ],
    'every pod is closed but for what is listed': [
      [
        (all) => drop(all, 'NetworkPolicy', 'accubooks-nothing-else') && drop(all, 'NetworkPolicy', 'accubooks-api'),
        'any Ingress is open',
      ],
      [(all) => one(all, 'NetworkPolicy', 'accubooks-worker').spec.egress.push({}), 'to anywhere any port is open'],
      [
        (all) => void one(all, 'NetworkPolicy', 'accubooks-worker').spec.egress[0].to[0].ipBlock.except.pop(),
        'to anywhere TCP 8443 is open',
      ],
      [
        (all) => void one(all, 'NetworkPolicy', 'accubooks-api').spec.ingress[0].from.push({ podSelector: {} }),
        'from anywhere TCP 3000 is open',
      ],
      [(all) => drop(all, 'NetworkPolicy', 'accubooks-dns'), 'to kube-system UDP 53 is closed'],
    ],
    'one release has one name': [
      [
        (all) =>
          Object.assign(
            container(all).env.find(({ name }: Manifest) => name === 'WORKER_BUILD_ID'),
            { value: '0.9.0' },
          ),
        '0.9.0 is not',
      ],
      [
        (all) =>
          Object.assign(one(all, 'ScaledObject', 'accubooks-worker-blue').spec.triggers[0].metadata, {
            workerDeploymentBuildId: '0.9.0',
          }),
        '0.9.0 is not',
      ],
    ],
    'no release is newer than its schema': [
      [(all) => drop(all, 'Job'), 'nothing migrates to'],
      [
        (all) =>
          Object.assign(ofKind(all, 'Job')[0].spec.template.spec.containers[0], {
            image: 'registry.example.com/accubooks:0.9.0',
          }),
        'the migration is of 0.9.0, older than',
      ],
      [
        (all) => Object.assign(ofKind(all, 'Job')[0].metadata, { name: 'accubooks-migrate' }),
        'the migration is not called',
      ],
    ],
    'each deployment is scaled by one thing': [
      [(all) => Object.assign(one(all, 'Deployment', 'accubooks-api-blue').spec, { replicas: 2 }), 'sets its replicas'],
      [
        (all) =>
          Object.assign(one(all, 'ScaledObject', 'accubooks-worker-blue').spec.scaleTargetRef, {
            name: 'accubooks-worker',
          }),
        'not exactly one scaler',
      ],
    ],
    'each pod is scraped once': [[(all) => drop(all, 'PodMonitor', 'accubooks-api'), 'is not scraped']],
    'each service leads to pods of one release': [
      [
        (all) => delete one(all, 'Service', 'accubooks-api-blue').spec.selector['accubooks.io/version'],
        'accubooks-api-blue and',
      ],
    ],
  };

  test('each rule has something that breaks it', () => {
    expect(Object.keys(spoilt).toSorted()).toEqual(Object.keys(RULES).toSorted());
  });

  for (const [promise, cases] of Object.entries(spoilt)) {
    test.each(cases)(`refused as not “${promise}”: %#`, (spoil, fault) => {
      const manifests = production();
      spoil(manifests);
      expect(RULES[promise]?.(manifests).join('\n')).toContain(fault);
    });
  }

  test.each([
    ['a misspelt member', (all: Manifest[]) => Object.assign(container(all), { readinesProbe: {} }), 'readinesProbe'],
    [
      'a misspelt member of an extension',
      (all: Manifest[]) => Object.assign(one(all, 'HTTPRoute', 'accubooks-api').spec.rules[0], { timeout: {} }),
      'timeout',
    ],
    [
      'a value of the wrong type',
      (all: Manifest[]) => Object.assign(pod(all), { terminationGracePeriodSeconds: 'long' }),
      'terminationGracePeriodSeconds',
    ],
    [
      'a kind that nothing knows',
      (all: Manifest[]) => Object.assign(ofKind(all, 'Gateway')[0], { kind: 'Gatway' }),
      'Gatway',
    ],
  ])('refused by its schema: %s', async (_what, spoil, fault) => {
    const manifests = production();
    spoil(manifests);
    expect((await Promise.all(manifests.map(schemaFaults))).flat().join('\n')).toContain(fault);
  });
});

function one(manifests: readonly Manifest[], kind: string, name: string): Manifest {
  const found = manifests.find((manifest) => nameOf(manifest) === `${kind} ${name}`);
  if (found === undefined) throw new Error(`There is no ${kind} ${name}`);
  return found;
}

function pod(manifests: readonly Manifest[], deployment = 'accubooks-api-blue'): Manifest {
  return one(manifests, 'Deployment', deployment).spec.template.spec;
}

function container(manifests: readonly Manifest[]): Manifest {
  return pod(manifests).containers[0];
}

function settingOf(manifests: readonly Manifest[], name: string): Manifest {
  return container(manifests).env.find((setting: Manifest) => setting.name === name);
}

function backends(manifests: readonly Manifest[]): Manifest[] {
  return one(manifests, 'HTTPRoute', 'accubooks-api').spec.rules[0].backendRefs;
}

function paths(manifests: readonly Manifest[]): Manifest[] {
  return one(manifests, 'HTTPRoute', 'accubooks-api').spec.rules[0].matches;
}

function drop(manifests: Manifest[], kind: string, name?: string): boolean {
  const index = manifests.findIndex(
    (manifest) => manifest.kind === kind && (name === undefined || manifest.metadata.name === name),
  );
  if (index < 0) throw new Error(`There is no ${kind} ${name ?? ''}`);
  manifests.splice(index, 1);
  return true;
}
