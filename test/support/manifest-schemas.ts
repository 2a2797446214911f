import { type Manifest, nameOf } from './manifests.ts';

/** The packages that have the schemas of our kinds, by their group. */
const PACKAGES: Readonly<Record<string, string>> = {
  'gateway.networking.k8s.io': '@kubernetes-models/gateway-api/gateway.networking.k8s.io',
  'keda.sh': '@kubernetes-models/keda/keda.sh',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator/monitoring.coreos.com',
  'external-secrets.io': '@kubernetes-models/external-secrets/external-secrets.io',
  'cert-manager.io': '@kubernetes-models/cert-manager/cert-manager.io',
};

type Model = { readonly prototype: { validate(this: object): void } };

/** What is wrong with an object by the schema of its kind: what that refuses, and members that it does not know. */
export async function schemaFaults(manifest: Manifest): Promise<string[]> {
  const model = await findModel(manifest);
  if (model === undefined) return [`${nameOf(manifest)}: no kind ${manifest.kind} of ${manifest.apiVersion} is known`];
  const watched = watch(manifest);
  try {
    model.prototype.validate.call(watched.seen);
  } catch (error) {
    return [`${nameOf(manifest)}: ${error instanceof Error ? error.message : String(error)}`];
  }
  return watched.unseen().map((path) => `${nameOf(manifest)}: ${path} is no member that ${manifest.apiVersion} knows`);
}

async function findModel({ apiVersion, kind }: Manifest): Promise<Model | undefined> {
  const [group, version] = String(apiVersion).includes('/') ? String(apiVersion).split('/') : [undefined, apiVersion];
  const folder = group === undefined ? 'kubernetes-models' : (PACKAGES[group] ?? `kubernetes-models/${group}`);
  try {
    return (await import(`${folder}/${version}/${kind}`))[kind];
  } catch {
    return undefined;
  }
}

/**
 * The validators let unknown members pass, as a cluster does that drops them. But they look at each member that they know,
 * there or not, or list the members where any name is allowed. So what was looked into, and of which one member was never
 * looked at, has a member that nothing knows. (Into what may be anything they do not look at all.)
 */
function watch(root: Manifest): { readonly seen: Manifest; unseen(): string[] } {
  const asked = new Map<object, Set<PropertyKey>>();
  const isListed = new Set<object>();
  const proxies = new Map<object, object>();
  const proxyOf = (value: Manifest): Manifest => {
    if (typeof value !== 'object' || value === null) return value;
    const known = proxies.get(value);
    if (known !== undefined) return known;
    const proxy = new Proxy(value, {
      get(target, key) {
        note(target, key);
        return proxyOf(Reflect.get(target, key));
      },
      has(target, key) {
        note(target, key);
        return Reflect.has(target, key);
      },
      ownKeys(target) {
        isListed.add(target);
        return Reflect.ownKeys(target);
      },
    });
    proxies.set(value, proxy);
    return proxy;
  };
  const note = (target: object, key: PropertyKey) => {
    const keys = asked.get(target) ?? new Set();
    asked.set(target, keys.add(key));
  };
  const unseenIn = (value: Manifest, path: string): string[] => {
    if (typeof value !== 'object' || value === null) return [];
    const keys = asked.get(value);
    if (keys === undefined && !isListed.has(value)) return [];
    return Object.entries(value).flatMap(([key, member]) =>
      Array.isArray(value) || isListed.has(value) || keys?.has(key)
        ? unseenIn(member, `${path}/${key}`)
        : [`${path}/${key}`],
    );
  };
  return { seen: proxyOf(root), unseen: () => unseenIn(root, '') };
}
