import { type Manifest, nameOf, ofKind, podsOf, selects } from './manifests.ts';
import { componentOf, openSecrets } from './pod-rules.ts';

/** What all objects together have to keep to. */
export const CLUSTER_RULES: Readonly<Record<string, (manifests: readonly Manifest[]) => string[]>> = {
  'no secret stands in the manifests': openSecrets,

  'nothing was left to be filled in': (manifests) =>
    manifests.flatMap((manifest) =>
      /[:"]unset"|192\.0\.2\./.test(JSON.stringify(manifest))
        ? [`${nameOf(manifest)} has a value that no overlay gives`]
        : [],
    ),

  'a hundred of a hundred requests go somewhere': (manifests) =>
    routes(manifests).flatMap((route) =>
      backendRules(route).flatMap(({ backendRefs }) => {
        const sum = backendRefs.reduce((total: number, { weight }: Manifest) => total + (weight ?? 1), 0);
        const services = ofKind(manifests, 'Service').map(({ metadata }) => metadata.name);
        return [
          ...(sum === 100 ? [] : [`${nameOf(route)}: the weights sum to ${sum}`]),
          ...backendRefs
            .filter(({ name }: Manifest) => !services.includes(name))
            .map(({ name }: Manifest) => `${nameOf(route)}: there is no Service ${name}`),
        ];
      }),
    ),

  'the public reaches the API, and neither figures nor probes': (manifests) =>
    routes(manifests).flatMap((route) =>
      backendRules(route).flatMap(({ matches }) => {
        const paths = (matches ?? [{}]).map(({ path }: Manifest) => path ?? { type: 'PathPrefix', value: '/' });
        const closed = ['/metrics', '/livez', '/readyz'];
        return closed
          .filter((page) => paths.some((path: Manifest) => matchesPath(path, page)))
          .map((page) => `${nameOf(route)} leads to ${page}`);
      }),
    ),

  'the public comes by TLS': (manifests) =>
    ofKind(manifests, 'Gateway').flatMap((gateway) =>
      gateway.spec.listeners.flatMap((listener: Manifest) => {
        const certified = ofKind(manifests, 'Certificate').find(
          ({ spec }) => spec.secretName === listener.tls?.certificateRefs?.[0]?.name,
        );
        if (listener.protocol === 'HTTPS') {
          return certified?.spec.dnsNames.includes(listener.hostname)
            ? []
            : [`listener ${listener.name} has no certificate`];
        }
        const onPlain = ofKind(manifests, 'HTTPRoute').filter(({ spec }) =>
          spec.parentRefs.some(
            ({ sectionName }: Manifest) => sectionName === undefined || sectionName === listener.name,
          ),
        );
        return onPlain.flatMap((route) =>
          backendRules(route).length > 0 ? [`${nameOf(route)} answers without TLS`] : [],
        );
      }),
    ),

  'every pod is closed but for what is listed': (manifests) =>
    podsOf(manifests).flatMap((pod) => {
      const policies = ofKind(manifests, 'NetworkPolicy').filter(({ spec }) =>
        selects(spec.podSelector?.matchLabels, pod.labels),
      );
      const flows = policies
        .flatMap(({ spec }) => [...flowsOf(spec.ingress, 'from'), ...flowsOf(spec.egress, 'to')])
        .toSorted();
      const closed = ['Ingress', 'Egress'].filter(
        (type) => !policies.some(({ spec }) => spec.policyTypes?.includes(type)),
      );
      const expected = [...FLOWS.all, ...(FLOWS[componentOf(pod) as keyof typeof FLOWS] ?? [])].toSorted();
      return [
        ...closed.map((type) => `${pod.owner}: any ${type} is open`),
        ...flows.filter((flow) => !expected.includes(flow)).map((flow) => `${pod.owner}: ${flow} is open`),
        ...expected.filter((flow) => !flows.includes(flow)).map((flow) => `${pod.owner}: ${flow} is closed`),
      ];
    }),

  'one release has one name': (manifests) =>
    podsOf(manifests)
      .filter(({ owner }) => owner.startsWith('Deployment'))
      .flatMap((pod) => {
        const version = pod.labels['app.kubernetes.io/version'] ?? '';
        const names = [
          ...[...pod.initContainers, ...pod.containers].map(({ image }) => image.split(':')[1]),
          pod.containers[0]?.env.find(({ name }: Manifest) => name === 'WORKER_BUILD_ID')?.value,
          ...scalersOf(manifests, pod.owner).flatMap(({ spec }) =>
            (spec.triggers ?? [])
              .filter(({ type }: Manifest) => type === 'temporal')
              .map(({ metadata }: Manifest) => metadata.workerDeploymentBuildId),
          ),
        ];
        return names.filter((name) => name !== version).map((name) => `${pod.owner}: ${name} is not ${version}`);
      }),

  'no release is newer than its schema': (manifests) => {
    const [job] = ofKind(manifests, 'Job');
    const versionOf = (manifest: Manifest): string => manifest.spec.template.spec.containers[0].image.split(':')[1];
    const newest = ofKind(manifests, 'Deployment').map(versionOf).toSorted(byVersion).at(-1) ?? '';
    if (job === undefined) return [`nothing migrates to ${newest}`];
    // The migration goes ahead: its job is of the release that comes.
    const version = versionOf(job);
    const name = `accubooks-migrate-${version.replaceAll('.', '-')}`;
    return [
      ...(byVersion(version, newest) < 0 ? [`the migration is of ${version}, older than ${newest}`] : []),
      ...(job.metadata.name === name ? [] : [`the migration is not called ${name}`]),
    ];
  },

  'each deployment is scaled by one thing': (manifests) =>
    ofKind(manifests, 'Deployment').flatMap((deployment) => [
      ...(deployment.spec.replicas === undefined
        ? []
        : [`${nameOf(deployment)} sets its replicas, which the scaler has set`]),
      ...(scalersOf(manifests, nameOf(deployment)).length === 1
        ? []
        : [`${nameOf(deployment)} has not exactly one scaler`]),
    ]),

  'each pod is scraped once': (manifests) =>
    podsOf(manifests)
      .filter(({ owner }) => owner.startsWith('Deployment'))
      .filter(
        ({ labels }) =>
          ofKind(manifests, 'PodMonitor').filter(({ spec }) => selects(spec.selector.matchLabels, labels)).length !== 1,
      )
      .map(({ owner }) => `${owner} is not scraped by exactly one PodMonitor`),

  'each service leads to pods of one release': (manifests) =>
    ofKind(manifests, 'Service').flatMap((service) => {
      const owners = podsOf(manifests).filter(({ labels }) => selects(service.spec.selector, labels));
      return owners.length === 1
        ? []
        : [`${nameOf(service)} leads to ${owners.map(({ owner }) => owner).join(' and ') || 'nothing'}`];
    }),
};

/** Everything that may go in and out, in the words of `flowsOf`. */
const FLOWS = {
  all: ['to kube-system UDP 53', 'to kube-system TCP 53', 'to inside TCP 5432', 'to inside TCP 7233'],
  api: ['from gateway TCP 3000', 'from monitoring TCP 3000', 'to monitoring TCP 9090', 'to public TCP 443'],
  worker: ['from monitoring TCP 9464', 'to public TCP 80', 'to public TCP 443', 'to public TCP 8443'],
  migrate: [],
};

function flowsOf(rules: readonly Manifest[] | undefined, direction: 'from' | 'to'): string[] {
  return (rules ?? []).flatMap((rule) => {
    const peers: string[] = (rule[direction] ?? [undefined]).map(peerName);
    const ports: string[] = (rule.ports ?? [{ protocol: 'any', port: 'port' }]).map(
      ({ protocol, port }: Manifest) => `${protocol} ${port}`,
    );
    return peers.flatMap((peer) => ports.map((port) => `${direction} ${peer} ${port}`));
  });
}

function peerName(peer: Manifest): string {
  if (peer?.ipBlock !== undefined) {
    if (peer.ipBlock.cidr !== '0.0.0.0/0') return 'inside';
    return ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '169.254.0.0/16', '127.0.0.0/8', '100.64.0.0/10'].every(
      (range) => peer.ipBlock.except?.includes(range),
    )
      ? 'public'
      : 'anywhere';
  }
  const labels = peer?.namespaceSelector?.matchLabels ?? {};
  return labels['accubooks.io/role'] ?? labels['kubernetes.io/metadata.name'] ?? 'anywhere';
}

function routes(manifests: readonly Manifest[]): Manifest[] {
  return ofKind(manifests, 'HTTPRoute');
}

function backendRules(route: Manifest): Manifest[] {
  return route.spec.rules.filter(({ backendRefs }: Manifest) => backendRefs !== undefined);
}

function matchesPath({ type, value }: Manifest, path: string): boolean {
  if (type === 'Exact') return value === path;
  if (type === 'PathPrefix') return value === '/' || path === value || path.startsWith(`${value}/`);
  return true; // by an expression, which is not read here
}

function scalersOf(manifests: readonly Manifest[], owner: string): Manifest[] {
  const scalers = [...ofKind(manifests, 'HorizontalPodAutoscaler'), ...ofKind(manifests, 'ScaledObject')];
  return scalers.filter(({ spec }) => `Deployment ${spec.scaleTargetRef.name}` === owner);
}

function byVersion(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
