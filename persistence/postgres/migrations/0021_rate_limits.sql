-- How often each server takes a source's calls.

ALTER TABLE registry.sources
    ADD COLUMN calls_per_s integer CONSTRAINT a_source_may_call CHECK (calls_per_s >= 1),
    ADD COLUMN burst_calls integer CONSTRAINT a_source_may_call_at_once CHECK (burst_calls >= 1),
    ADD CONSTRAINT a_rate_limit_has_a_rate_and_a_burst CHECK ((calls_per_s IS NULL) = (burst_calls IS NULL));
COMMENT ON COLUMN registry.sources.calls_per_s IS
    'How many calls a second each server takes in the long run; null: as its settings say.';
COMMENT ON COLUMN registry.sources.burst_calls IS 'How many calls may come at once after a pause.';
