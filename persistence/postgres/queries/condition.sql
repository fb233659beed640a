-- What whoever is on call has to know of the ledger: how much waits for a person.

-- open_incidents_by_kind --
SELECT kind, count(*) AS count FROM ledger.incidents WHERE resolved_time IS NULL GROUP BY kind;

-- quarantined_record_count --
SELECT count(*) FROM ledger.quarantine WHERE resolved_time IS NULL;

-- open_reviews_by_kind --
SELECT kind, count(*) AS count FROM ledger.reviews WHERE resolved_time IS NULL GROUP BY kind;

-- last_verification --
SELECT verification_id, ended_time, finding_count FROM ledger.verifications ORDER BY verification_id DESC LIMIT 1;

-- record_verification --
INSERT INTO ledger.verifications (
    started_time, with_hot_wallets, entry_count, wallet_count, undrained_wallet_count, finding_count
) VALUES ($1, $2, $3, $4, $5, $6);
