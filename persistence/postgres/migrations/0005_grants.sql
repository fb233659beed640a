-- Who may do what. The migration's program makes sure that the three roles exist. Even the writer cannot
-- change or delete an entry, a posting, an account, a balance or a wallet.

REVOKE ALL ON SCHEMA ledger, registry FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger, registry FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger, registry TO stakehold_reader, stakehold_writer, stakehold_registrar;

GRANT SELECT ON ALL TABLES IN SCHEMA ledger, registry TO stakehold_reader;

GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO stakehold_writer;
GRANT INSERT ON ledger.entries, ledger.postings, ledger.accounts, ledger.quarantine TO stakehold_writer;
GRANT UPDATE (epoch, state, cursor_epoch, cursor_sequence, entry_count, chain_hash, stopped_reason, updated_time)
    ON ledger.partitions TO stakehold_writer;
GRANT UPDATE (reason, problem, fields, quarantined_time, resolved_time) ON ledger.quarantine TO stakehold_writer;

GRANT SELECT, INSERT ON registry.currencies, registry.sources TO stakehold_registrar;
GRANT UPDATE (display_name, scale, kind, status, updated_time) ON registry.currencies TO stakehold_registrar;
GRANT UPDATE ON registry.sources TO stakehold_registrar;
