-- Without a lock that keeps others from reading or writing.
ALTER TABLE batches VALIDATE CONSTRAINT batches_pending_approval_check;
ALTER TABLE batches VALIDATE CONSTRAINT batches_counted;
ALTER TABLE batches VALIDATE CONSTRAINT batches_completed;
ALTER TABLE batch_chunks VALIDATE CONSTRAINT batch_chunks_outcomes_check;
