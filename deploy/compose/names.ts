/** As compose.yaml calls it. */
export const POSTGRES_HOST = 'postgres:5432';
export const APP_DATABASE = 'accubooks';
