/** What the rules of the manifests look at: Kubernetes objects, as rendered. */

// biome-ignore lint/suspicious/noExplicitAny: any kind of object; its schema is checked apart
export type Manifest = any;

export type Pod = {
  /** `Deployment accubooks-api-blue` */
  readonly owner: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: Manifest;
  readonly containers: readonly Manifest[];
  readonly initContainers: readonly Manifest[];
};

export function nameOf(manifest: Manifest): string {
  return `${manifest.kind} ${manifest.metadata?.name}`;
}

export function ofKind(manifests: readonly Manifest[], kind: string): Manifest[] {
  return manifests.filter((manifest) => manifest.kind === kind);
}

export function podsOf(manifests: readonly Manifest[]): Pod[] {
  return manifests
    .filter(({ kind }) => kind === 'Deployment' || kind === 'Job')
    .map((manifest) => {
      const { metadata, spec } = manifest.spec.template;
      return {
        owner: nameOf(manifest),
        labels: metadata?.labels ?? {},
        spec,
        containers: spec.containers ?? [],
        initContainers: spec.initContainers ?? [],
      };
    });
}

export function allContainers(pod: Pod): Manifest[] {
  return [...pod.initContainers, ...pod.containers];
}

/** As Kubernetes selects: every label of the selector, and an empty selector selects all. */
export function selects(
  selector: Readonly<Record<string, string>> | undefined,
  labels: Readonly<Record<string, string>>,
) {
  return Object.entries(selector ?? {}).every(([key, value]) => labels[key] === value);
}
