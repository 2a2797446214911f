/** The service's name in compose.yaml. */
export const POSTGRES_HOST = 'postgres:5432';
export const APP_DATABASE = 'accubooks';
