-- Without a lock that keeps others from reading or writing.
ALTER TABLE batch_chunks VALIDATE CONSTRAINT batch_chunks_outcomes_check;
