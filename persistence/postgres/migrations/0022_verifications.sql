-- Each audit of everything that came to its end is noted, so that whoever is on call is told of findings, and of audits
-- that nobody makes any more.

CREATE TABLE ledger.verifications (
    verification_id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT verifications_are_numbered PRIMARY KEY,
    started_time timestamptz NOT NULL,
    ended_time timestamptz NOT NULL DEFAULT now(),
    with_hot_wallets boolean NOT NULL,
    entry_count bigint NOT NULL,
    wallet_count bigint NOT NULL,
    undrained_wallet_count bigint NOT NULL,
    finding_count bigint NOT NULL
);
COMMENT ON TABLE ledger.verifications IS 'Audits of everything that came to their end, and how many findings each had.';
COMMENT ON COLUMN ledger.verifications.with_hot_wallets IS 'Whether the store''s wallets were compared with the ledger, too.';

GRANT SELECT ON ledger.verifications TO stakehold_reader;
GRANT SELECT, INSERT ON ledger.verifications TO stakehold_writer;
