-- The worker takes away what is old under a role that may do this and nothing else: not one that may erase entries.
-- stakehold_eraser keeps what it was granted for it, so that a worker of before goes on beside.

GRANT USAGE ON SCHEMA ledger, inbox TO stakehold_pruner;
GRANT SELECT, UPDATE (finished_time, submission_number) ON inbox.pruned TO stakehold_pruner;
GRANT SELECT (submission_number, finished_time) ON inbox.submissions TO stakehold_pruner;
GRANT SELECT (submission_number, state, command), UPDATE (command) ON inbox.commands TO stakehold_pruner;
GRANT SELECT (restored_time, fields), UPDATE (fields) ON ledger.salvaged TO stakehold_pruner;
GRANT SELECT (resolved_time, fields), UPDATE (fields) ON ledger.quarantine TO stakehold_pruner;
