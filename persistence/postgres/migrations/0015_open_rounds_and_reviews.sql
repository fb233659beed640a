-- Rounds that are open in the ledger, bets that are given back because nothing settles them, and what a person
-- should look at.

CREATE TABLE ledger.open_rounds (
    player_id text COLLATE "C" NOT NULL,
    source_id text COLLATE "C" NOT NULL,
    game_id text COLLATE "C" NOT NULL,
    round_id text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    live_bets bigint NOT NULL,
    is_settled boolean NOT NULL,
    first_bet_time timestamptz NOT NULL,
    last_time timestamptz NOT NULL,
    looked_time timestamptz,
    CONSTRAINT a_round_is_open_once PRIMARY KEY (player_id, source_id, game_id, round_id),
    CONSTRAINT an_open_round_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions,
    CONSTRAINT an_open_round_has_live_bets CHECK (live_bets > 0)
) WITH (fillfactor = 80);
COMMENT ON TABLE ledger.open_rounds IS
    'Rounds with live bets that nothing has closed, as of ledger.round_progress: follows from entries, and may be made anew.';
COMMENT ON COLUMN ledger.open_rounds.game_id IS 'Empty where the round''s transactions named no game.';
COMMENT ON COLUMN ledger.open_rounds.is_settled IS 'Whether any win or refund stands in it.';
COMMENT ON COLUMN ledger.open_rounds.looked_time IS 'When its bets were last tried to be given back.';
CREATE INDEX open_rounds_by_use ON ledger.open_rounds (player_id, last_time DESC);
CREATE INDEX unsettled_rounds_by_age ON ledger.open_rounds (source_id, first_bet_time) WHERE NOT is_settled;

CREATE TABLE ledger.round_progress (
    partition integer NOT NULL,
    next_chain_position bigint NOT NULL,
    CONSTRAINT rounds_are_followed_once PRIMARY KEY (partition),
    CONSTRAINT the_progress_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions
) WITH (fillfactor = 50);
COMMENT ON TABLE ledger.round_progress IS 'The first entry of each partition that ledger.open_rounds does not know of yet.';

CREATE TABLE ledger.reviews (
    review_id bigint GENERATED ALWAYS AS IDENTITY,
    review_key text NOT NULL,
    kind text NOT NULL,
    partition integer NOT NULL,
    player_id text NOT NULL,
    source_id text NOT NULL,
    transaction_id text NOT NULL,
    action_transaction_id text NOT NULL,
    entry_id text NOT NULL,
    game_id text NOT NULL,
    round_id text NOT NULL,
    description text NOT NULL,
    raised_time timestamptz NOT NULL DEFAULT now(),
    resolved_time timestamptz,
    resolved_by text,
    note text,
    CONSTRAINT reviews_are_numbered PRIMARY KEY (review_id),
    CONSTRAINT a_review_is_raised_once UNIQUE (review_key),
    CONSTRAINT a_review_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions,
    CONSTRAINT a_review_is_of_a_known_kind CHECK (kind IN ('bet_swept', 'bet_not_swept')),
    CONSTRAINT a_resolved_review_says_by_whom_and_why CHECK (num_nulls(resolved_time, resolved_by, note) IN (0, 3))
);
COMMENT ON TABLE ledger.reviews IS 'What the service did by itself, or could not do, and a person should look at.';
COMMENT ON COLUMN ledger.reviews.review_key IS 'Names the occurrence, so that whoever sees it again adds nothing.';
CREATE INDEX open_reviews ON ledger.reviews (review_id) WHERE resolved_time IS NULL;

CREATE FUNCTION ledger.refuse_to_change_a_review() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'review % is resolved, and stays as it is', OLD.review_id
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'a_review_is_resolved_once';
END
$$;
REVOKE ALL ON FUNCTION ledger.refuse_to_change_a_review() FROM PUBLIC;
CREATE TRIGGER a_review_is_resolved_once BEFORE UPDATE ON ledger.reviews
    FOR EACH ROW WHEN (OLD.resolved_time IS NOT NULL)
    EXECUTE FUNCTION ledger.refuse_to_change_a_review();

GRANT SELECT ON ledger.open_rounds, ledger.round_progress, ledger.reviews
    TO stakehold_reader, stakehold_writer, stakehold_registrar;
GRANT INSERT, UPDATE, DELETE ON ledger.open_rounds TO stakehold_writer;
GRANT INSERT, UPDATE ON ledger.round_progress TO stakehold_writer;
GRANT INSERT ON ledger.reviews TO stakehold_writer;
GRANT UPDATE (resolved_time, resolved_by, note) ON ledger.reviews TO stakehold_registrar;

ALTER TABLE registry.sources ADD COLUMN orphan_horizon_ms bigint
    CONSTRAINT a_bet_is_no_orphan_within_a_minute CHECK (orphan_horizon_ms >= 60000);
COMMENT ON COLUMN registry.sources.orphan_horizon_ms IS
    'How long a bet may stand without any settlement before it is given back; null: for ever.';
