/** How long Temporal keeps a closed run, for people to look at; PostgreSQL keeps a write for ever. */
export const DEFAULT_RETENTION_DAYS = 7;
