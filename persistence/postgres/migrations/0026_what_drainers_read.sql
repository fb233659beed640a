-- Which records each drainer reads, so that nobody writes newer ones while an older drainer is at work.

ALTER TABLE ledger.drainers ADD COLUMN reads integer NOT NULL DEFAULT 1
    CONSTRAINT a_drainer_reads_what_the_first_one_did CHECK (reads >= 1);
COMMENT ON COLUMN ledger.drainers.reads IS
    'The newest revision of outbox records that the drainer reads; those that do not say read the first.';
