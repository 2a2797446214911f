import { API_DRAIN_LIMIT_MS, API_SETTINGS } from '../../api/config.ts';
import { SECRETS, WORKER_DRAIN_LIMIT_MS, WORKER_SETTINGS } from '../../worker/config.ts';

// biome-ignore lint/suspicious/noExplicitAny: its schema is checked apart
export type Compose = any;

/** What compose.yaml has to keep to. Each rule answers what is wrong, in words. */
export const COMPOSE_RULES: Readonly<Record<string, (compose: Compose) => string[]>> = {
  'every image is of an exact version': eachService(({ image, build }) =>
    build !== undefined || image === OWN_IMAGE || /:v?\d+\.\d+(\.\d+)?(-[a-z0-9]+)?(@sha256:[0-9a-f]{64})?$/.test(image)
      ? []
      : [`runs ${image}`],
  ),

  'every port is on loopback': eachService(({ ports }) =>
    (ports ?? []).filter((port: string) => !port.startsWith('127.0.0.1:')).map((port: string) => `listens on ${port}`),
  ),

  'everything that stays says how it is': (compose) => {
    const awaited = services(compose).flatMap(([, { depends_on: needs }]) => Object.entries<Compose>(needs ?? {}));
    const ends = new Set(
      awaited.filter(([, { condition }]) => condition === 'service_completed_successfully').map(([name]) => name),
    );
    const withoutOne = ['temporal-ui'];
    return services(compose)
      .filter(
        ([name, { healthcheck, image }]) =>
          !ends.has(name) && !withoutOne.includes(name) && healthcheck === undefined && image !== OWN_IMAGE,
      )
      .map(([name]) => `${name} has no healthcheck`);
  },

  'nothing starts before what it needs': (compose) =>
    services(compose).flatMap(([name, { depends_on: needs }]) =>
      Object.entries<Compose>(needs ?? {})
        .filter(([, { condition }]) => condition === 'service_started')
        .map(([other]) => `${name} does not wait until ${other} is ready`),
    ),

  'our processes are confined': ownServices((service) => [
    ...(service.read_only === true ? [] : ['may write to its disk']),
    ...(service.cap_drop?.includes('ALL') ? [] : ['keeps capabilities']),
    ...(service.security_opt?.includes('no-new-privileges:true') ? [] : ['may gain privileges']),
  ]),

  'our processes are told only what they read': ownServices((service) =>
    Object.keys(service.environment ?? {})
      .filter((name) => ![...API_SETTINGS, ...WORKER_SETTINGS].includes(name.replace(/_FILE$/, '')))
      .map((name) => `is given ${name}, which nothing reads`),
  ),

  'secrets come as files': (compose) =>
    services(compose).flatMap(([name, service]) => {
      const given: [string, string][] = Object.entries(service.environment ?? {});
      const files = given.filter(([, value]) => String(value).startsWith('/run/secrets/'));
      return [
        ...files
          .filter(([, value]) => !service.secrets?.includes(value.slice('/run/secrets/'.length)))
          .map(([key]) => `${name}: ${key} is not among its secrets`),
        ...(service.secrets ?? [])
          .filter((secret: string) => compose.secrets?.[secret]?.file === undefined)
          .map((secret: string) => `${name}: ${secret} is no file`),
        ...given
          .filter(
            ([key, value]) =>
              ((SECRETS as readonly string[]).includes(key) || /PASSWORD|_PWD|TOKEN|SECRET/.test(key)) &&
              !String(value).startsWith('/run/secrets/'),
          )
          .map(([key]) => `${name}: ${key} is given openly`),
      ];
    }),

  'our processes have the time that they need to drain': (compose) =>
    Object.entries({ api: API_DRAIN_LIMIT_MS, worker: WORKER_DRAIN_LIMIT_MS })
      .filter(
        ([name, limitMs]) => Number.parseInt(compose.services[name]?.stop_grace_period ?? '10s', 10) * 1000 <= limitMs,
      )
      .map(([name]) => `${name} is killed before it has drained`),
};

const OWN_IMAGE = 'accubooks:compose';

function services(compose: Compose): [string, Compose][] {
  return Object.entries(compose.services);
}

/** Folders and files of ours that containers see. */
export function mountedPaths(compose: Compose): string[] {
  return services(compose).flatMap(([, { volumes, env_file: files }]) => [
    ...(volumes ?? []).map((volume: string) => volume.split(':')[0]).filter((path: string) => path.startsWith('./')),
    ...(files ?? []),
  ]);
}

function eachService(rule: (service: Compose) => readonly string[]) {
  return (compose: Compose) =>
    services(compose).flatMap(([name, service]) => rule(service).map((fault) => `${name} ${fault}`));
}

function ownServices(rule: (service: Compose) => readonly string[]) {
  return eachService((service) => (service.image === OWN_IMAGE ? rule(service) : []));
}
