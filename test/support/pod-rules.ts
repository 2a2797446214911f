import { API_DRAIN_LIMIT_MS, API_SETTINGS } from '../../api/config.ts';
import { SECRETS, WORKER_DRAIN_LIMIT_MS, WORKER_SETTINGS } from '../../worker/config.ts';
import { allContainers, type Manifest, nameOf, ofKind, type Pod, podsOf, selects } from './manifests.ts';

/** What each pod has to keep to. Each rule answers what is wrong, in words; nothing where all is well. */
export const POD_RULES: Readonly<Record<string, (manifests: readonly Manifest[]) => string[]>> = {
  'runs as an ordinary user': eachPod((pod) => {
    const { runAsNonRoot, runAsUser, seccompProfile } = pod.spec.securityContext ?? {};
    return [
      ...(runAsNonRoot === true && runAsUser > 0 ? [] : ['may run as root']),
      ...(seccompProfile?.type === 'RuntimeDefault' ? [] : ['has no seccomp profile']),
      ...(pod.spec.automountServiceAccountToken === false ? [] : ['gets a token of the cluster']),
    ];
  }),

  'is confined': eachContainer(({ securityContext: context }) => [
    ...(context?.readOnlyRootFilesystem === true ? [] : ['may write to its disk']),
    ...(context?.allowPrivilegeEscalation === false ? [] : ['may gain privileges']),
    ...(context?.capabilities?.drop?.includes('ALL') && !context.capabilities.add ? [] : ['keeps capabilities']),
  ]),

  'has requests and limits': eachContainer(({ resources }) => [
    ...(resources?.requests?.cpu && resources.requests.memory ? [] : ['has no requests']),
    ...(resources?.limits?.memory ? [] : ['has no memory limit']),
  ]),

  'is of an exact version': eachContainer(({ image }) =>
    /^[a-z0-9.-]+\/[a-z0-9/-]+:\d+\.\d+\.\d+$/.test(image) ? [] : [`runs ${image}, which is no exact version`],
  ),

  'is probed': eachPod((pod) =>
    pod.owner.startsWith('Job')
      ? []
      : pod.containers.flatMap((container) =>
          ['startupProbe', 'livenessProbe', 'readinessProbe']
            .filter((probe) => container[probe]?.httpGet === undefined)
            .map((probe) => `${container.name} has no ${probe}`),
        ),
  ),

  'has the time that it needs to drain': eachPod((pod) => {
    const limitMs = { api: API_DRAIN_LIMIT_MS, worker: WORKER_DRAIN_LIMIT_MS }[componentOf(pod)] ?? 0;
    const sleepS = pod.containers[0]?.lifecycle?.preStop?.sleep?.seconds ?? 0;
    const graceS = pod.spec.terminationGracePeriodSeconds ?? 30;
    return graceS * 1000 > limitMs + sleepS * 1000
      ? []
      : [`is killed after ${graceS} s, but may drain for ${limitMs / 1000} s after ${sleepS} s`];
  }),

  'is told only what our processes read': (manifests) =>
    podsOf(manifests).flatMap((pod) =>
      allContainers(pod).flatMap((container) =>
        environmentNames(container, manifests)
          .filter((name) => !isSetting(name))
          .map((name) => `${pod.owner}: ${container.name} is given ${name}, which nothing reads`),
      ),
    ),

  'gets each secret from the store, as a file': (manifests) =>
    podsOf(manifests).flatMap((pod) =>
      allContainers(pod).flatMap((container) => secretFaults(pod, container, manifests)),
    ),

  'waits for its schema': eachPod((pod) =>
    pod.owner.startsWith('Job') ||
    pod.initContainers.some(({ command }) => command?.[1] === 'deploy/operator/wait-for-schema.js')
      ? []
      : ['starts without its schema'],
  ),

  'is disrupted one at a time': (manifests) =>
    podsOf(manifests)
      .filter(({ owner }) => owner.startsWith('Deployment'))
      .filter(
        ({ labels }) =>
          ofKind(manifests, 'PodDisruptionBudget').filter(({ spec }) => selects(spec.selector?.matchLabels, labels))
            .length !== 1,
      )
      .map(({ owner }) => `${owner} has not exactly one PodDisruptionBudget`),
};

export function componentOf(pod: Pod): string {
  return pod.labels['app.kubernetes.io/component'] ?? '';
}

function eachPod(rule: (pod: Pod) => readonly string[]) {
  return (manifests: readonly Manifest[]) =>
    podsOf(manifests).flatMap((pod) => rule(pod).map((fault) => `${pod.owner} ${fault}`));
}

function eachContainer(rule: (container: Manifest) => readonly string[]) {
  return eachPod((pod) =>
    allContainers(pod).flatMap((container) => rule(container).map((fault) => `${container.name} ${fault}`)),
  );
}

/** Also those of operator commands, which run in the migration. */
function isSetting(name: string): boolean {
  const key = name.replace(/_FILE$/, '');
  if (name !== key && !(SECRETS as readonly string[]).includes(key)) return false;
  return [...API_SETTINGS, ...WORKER_SETTINGS, 'MIGRATION_DATABASE_URL'].includes(key);
}

function environmentNames(container: Manifest, manifests: readonly Manifest[]): string[] {
  const maps = (container.envFrom ?? []).map(({ configMapRef }: Manifest) => configMapRef?.name);
  const known = ofKind(manifests, 'ConfigMap').filter(({ metadata }) => maps.includes(metadata.name));
  if (known.length !== maps.length) return [`all of ${maps.join(', ')} (not there)`];
  return [
    ...(container.env ?? []).map(({ name }: Manifest) => name),
    ...known.flatMap(({ data }) => Object.keys(data)),
  ];
}

function secretFaults(pod: Pod, container: Manifest, manifests: readonly Manifest[]): string[] {
  const where = `${pod.owner}: ${container.name}`;
  const [mount] = container.volumeMounts ?? [];
  const volume = pod.spec.volumes?.find(({ name }: Manifest) => name === mount?.name);
  const secret = ofKind(manifests, 'ExternalSecret').find(
    ({ spec }) => spec.target.name === volume?.secret?.secretName,
  );
  const provided: string[] = (secret?.spec.data ?? []).map(
    ({ secretKey }: Manifest) => `${mount.mountPath}/${secretKey}`,
  );
  const wanted: Manifest[] = (container.env ?? []).filter(({ name }: Manifest) => /_FILE$/.test(name));
  const given = environmentNames(container, manifests);
  return [
    ...wanted
      .filter(({ value }) => !provided.includes(value))
      .map(({ name }) => `${where}: ${name} is in no ExternalSecret`),
    ...wanted
      .filter(({ name, value }) => value !== `${mount?.mountPath}/${name.replace(/_FILE$/, '')}`)
      .map(({ name, value }) => `${where}: ${name} is read from ${value}`),
    ...given
      .filter((name) => (SECRETS as readonly string[]).includes(name))
      .map((name) => `${where}: ${name} is given openly`),
  ];
}

/** Secrets made by hand would be in the repository. */
export function openSecrets(manifests: readonly Manifest[]): string[] {
  return ofKind(manifests, 'Secret').map((secret) => `${nameOf(secret)} stands in the manifests`);
}
