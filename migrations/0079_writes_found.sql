-- A write is found by the resource that it has changed, and by the ID of any request with its key.

-- What made a resource has its ID: those are found by write ID, and only the others are in this index. Large ones may be created
-- beforehand, CONCURRENTLY (docs/deploying.md).
CREATE INDEX IF NOT EXISTS idempotent_writes_by_resource ON idempotent_writes (company_id, resource_id)
  WHERE resource_id <> write_id::text;
CREATE INDEX IF NOT EXISTS idempotent_write_audit_log_by_request ON idempotent_write_audit_log (company_id, request_id);
