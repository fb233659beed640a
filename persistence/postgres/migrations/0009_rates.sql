-- Rates of the market, and what holds for their use.
--
-- History is bitemporal: a rate has the time when it was published and the time when it was received, and a
-- decision about one that was held is a row of its own. Nothing of it is ever changed, so that both "what was
-- the rate then" and "what did we know then" have the same answer for ever.

CREATE SCHEMA fx;

CREATE TABLE fx.pairs (
    base text NOT NULL,
    quote text NOT NULL,
    stale_after_s integer NOT NULL,
    jump_bps integer NOT NULL,
    two_person_bps integer NOT NULL,
    peg numeric,
    peg_band_bps integer NOT NULL,
    created_time timestamptz NOT NULL DEFAULT now(),
    updated_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT a_pair_is_put_once PRIMARY KEY (base, quote),
    CONSTRAINT a_base_is_a_currency FOREIGN KEY (base) REFERENCES registry.currencies,
    CONSTRAINT a_quote_is_a_currency FOREIGN KEY (quote) REFERENCES registry.currencies,
    CONSTRAINT a_pair_is_of_two_currencies CHECK (base <> quote),
    CONSTRAINT rates_become_stale CHECK (stale_after_s > 0),
    CONSTRAINT a_jump_has_a_size CHECK (jump_bps > 0),
    CONSTRAINT what_takes_two_persons_has_a_size CHECK (two_person_bps >= 0),
    CONSTRAINT a_peg_is_a_positive_number CHECK (peg > 0 AND peg < 'Infinity'),
    CONSTRAINT a_peg_has_a_band CHECK ((peg IS NULL AND peg_band_bps = 0) OR (peg IS NOT NULL AND peg_band_bps > 0))
);
COMMENT ON COLUMN fx.pairs.peg IS 'What one unit of base should be worth, for a stablecoin.';

CREATE TABLE fx.rates (
    rate_id bigint GENERATED ALWAYS AS IDENTITY,
    source text NOT NULL,
    base text NOT NULL,
    quote text NOT NULL,
    mid numeric NOT NULL,
    published_time timestamptz NOT NULL,
    received_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    state text NOT NULL,
    pushed_by text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT rates_are_numbered PRIMARY KEY (rate_id),
    CONSTRAINT a_rate_is_of_a_pair FOREIGN KEY (base, quote) REFERENCES fx.pairs,
    CONSTRAINT a_rate_is_a_positive_number CHECK (mid > 0 AND mid < 'Infinity'),
    CONSTRAINT a_rate_has_at_most_36_significant_digits CHECK (
        length(ltrim(replace(trim_scale(mid)::text, '.', ''), '0')) <= 36
    ),
    CONSTRAINT a_rate_is_not_of_the_future CHECK (published_time <= received_time + interval '1 minute'),
    CONSTRAINT a_rate_is_received_as_accepted_or_held CHECK (state IN ('accepted', 'held')),
    CONSTRAINT a_held_rate_says_why CHECK (state <> 'held' OR reason <> '')
);
COMMENT ON COLUMN fx.rates.mid IS 'Units of quote for one unit of base, exact.';
COMMENT ON COLUMN fx.rates.received_time IS
    'Taken while the pair is locked: of one pair, what was received earlier was committed earlier.';
COMMENT ON COLUMN fx.rates.state IS 'What was found when it was received. What it is now is in fx.judged_rates.';
COMMENT ON COLUMN fx.rates.pushed_by IS 'Who pushed it by hand; empty for a feed.';
CREATE INDEX accepted_rates ON fx.rates (base, quote, published_time DESC, rate_id DESC) WHERE state = 'accepted';
CREATE INDEX held_rates ON fx.rates (base, quote, published_time DESC, rate_id DESC) WHERE state = 'held';
CREATE INDEX rates_by_pair ON fx.rates (base, quote, published_time, rate_id);
CREATE INDEX rates_by_source ON fx.rates (base, quote, source, rate_id);

CREATE TABLE fx.rate_decisions (
    rate_id bigint NOT NULL,
    decision text NOT NULL,
    decided_by text NOT NULL,
    decided_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason text NOT NULL,
    CONSTRAINT a_rate_is_decided_once PRIMARY KEY (rate_id),
    CONSTRAINT a_decision_is_about_a_rate FOREIGN KEY (rate_id) REFERENCES fx.rates,
    CONSTRAINT a_decision_confirms_or_rejects CHECK (decision IN ('confirmed', 'rejected')),
    CONSTRAINT somebody_decides CHECK (decided_by <> '')
);

CREATE VIEW fx.judged_rates AS
SELECT
    rates.*,
    CASE decision WHEN 'confirmed' THEN 'accepted' WHEN 'rejected' THEN 'rejected' ELSE state END AS state_now,
    decided_by,
    decided_time,
    rate_decisions.reason AS decision_reason
FROM fx.rates
LEFT JOIN fx.rate_decisions USING (rate_id);

CREATE FUNCTION fx.rate_at(of_base text, of_quote text, at_time timestamptz, known_time timestamptz)
RETURNS SETOF fx.judged_rates
LANGUAGE sql STABLE
AS $$
    WITH accepted AS (
        SELECT * FROM fx.judged_rates
        WHERE base = of_base AND quote = of_quote AND state = 'accepted'
            AND published_time <= at_time AND received_time <= known_time
        ORDER BY published_time DESC, rate_id DESC
        LIMIT 1
    )
    SELECT * FROM accepted
    UNION ALL (
        SELECT * FROM fx.judged_rates
        WHERE base = of_base AND quote = of_quote AND state = 'held' AND state_now = 'accepted'
            AND published_time <= at_time AND decided_time <= known_time
            AND (published_time, rate_id) > (
                coalesce((SELECT published_time FROM accepted), '-infinity'),
                coalesce((SELECT rate_id FROM accepted), 0)
            )
        ORDER BY published_time DESC, rate_id DESC
        LIMIT 1
    )
    ORDER BY published_time DESC, rate_id DESC
    LIMIT 1
$$;
COMMENT ON FUNCTION fx.rate_at IS
    'The rate that a pair had at one time, as was known at another: the newest that was accepted or confirmed.';

CREATE FUNCTION fx.waiting_rates(of_base text, of_quote text) RETURNS SETOF fx.judged_rates
LANGUAGE sql STABLE
AS $$
    SELECT held.*
    FROM fx.judged_rates AS held
    LEFT JOIN fx.rate_at(of_base, of_quote, 'infinity', 'infinity') AS used ON true
    WHERE held.base = of_base AND held.quote = of_quote AND held.state = 'held' AND held.state_now = 'held'
        AND (held.published_time, held.rate_id) >
            (coalesce(used.published_time, '-infinity'), coalesce(used.rate_id, 0))
$$;
COMMENT ON FUNCTION fx.waiting_rates IS
    'A pair''s rates that wait for a decision: held, and newer than the one that is used.';

CREATE TABLE fx.spreads (
    currency text NOT NULL,
    wallet_currency text NOT NULL,
    side text NOT NULL,
    player_group text NOT NULL,
    bps integer NOT NULL,
    updated_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT a_spread_is_put_once PRIMARY KEY (currency, wallet_currency, side, player_group),
    CONSTRAINT a_spread_is_of_a_known_side CHECK (side IN ('', 'paid', 'received')),
    CONSTRAINT a_spread_is_less_than_everything CHECK (bps BETWEEN 0 AND 9900)
);
COMMENT ON TABLE fx.spreads IS 'In ten thousandths of mid. What is empty stands for any.';

CREATE TABLE fx.pivots (
    rank integer NOT NULL,
    currency_code text NOT NULL,
    CONSTRAINT pivots_are_ranked PRIMARY KEY (rank),
    CONSTRAINT a_pivot_has_one_rank UNIQUE (currency_code),
    CONSTRAINT a_pivot_is_a_currency FOREIGN KEY (currency_code) REFERENCES registry.currencies,
    CONSTRAINT ranks_begin_with_1 CHECK (rank >= 1)
);
COMMENT ON TABLE fx.pivots IS 'Through which currencies a rate is made where a pair has none, the first that does counts.';

CREATE FUNCTION fx.refuse_to_rewrite() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of fx.% is refused: rates are append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'rates_are_append_only';
END
$$;

CREATE TRIGGER rates_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fx.rates
    FOR EACH STATEMENT EXECUTE FUNCTION fx.refuse_to_rewrite();
CREATE TRIGGER decisions_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fx.rate_decisions
    FOR EACH STATEMENT EXECUTE FUNCTION fx.refuse_to_rewrite();

CREATE FUNCTION fx.require_a_held_rate() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM fx.rates WHERE rate_id = NEW.rate_id AND state = 'held';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'rate % is not held: there is nothing to decide', NEW.rate_id
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'only_held_rates_are_decided';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER only_held_rates_are_decided BEFORE INSERT ON fx.rate_decisions
    FOR EACH ROW EXECUTE FUNCTION fx.require_a_held_rate();

REVOKE ALL ON SCHEMA fx FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA fx FROM PUBLIC;
GRANT USAGE ON SCHEMA fx TO stakehold_reader, stakehold_writer, stakehold_registrar;
GRANT SELECT ON ALL TABLES IN SCHEMA fx TO stakehold_reader, stakehold_writer, stakehold_registrar;
GRANT EXECUTE ON FUNCTION fx.rate_at, fx.waiting_rates TO stakehold_reader, stakehold_writer, stakehold_registrar;
GRANT INSERT ON fx.pairs, fx.rates, fx.rate_decisions, fx.spreads, fx.pivots TO stakehold_registrar;
GRANT UPDATE ON fx.pairs, fx.spreads TO stakehold_registrar;
GRANT DELETE ON fx.spreads, fx.pivots TO stakehold_registrar;
