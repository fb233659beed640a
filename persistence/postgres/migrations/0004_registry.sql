-- Currencies and sources: what operators put.

CREATE SCHEMA registry;

CREATE TABLE registry.currencies (
    currency_code text NOT NULL,
    display_name text NOT NULL,
    scale smallint NOT NULL,
    kind text NOT NULL,
    status text NOT NULL,
    created_time timestamptz NOT NULL DEFAULT now(),
    updated_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT a_currency_code_is_unique PRIMARY KEY (currency_code),
    CONSTRAINT a_currency_code_has_3_to_12_letters_and_digits CHECK (currency_code ~ '^[A-Z][A-Z0-9]{2,11}$'),
    CONSTRAINT a_currency_has_0_to_18_decimals CHECK (scale BETWEEN 0 AND 18),
    CONSTRAINT a_currency_is_of_a_known_kind CHECK (kind IN ('fiat', 'stablecoin', 'crypto')),
    CONSTRAINT a_currency_has_a_known_status CHECK (status IN ('enabled', 'no_new_debits', 'disabled'))
);

CREATE TABLE registry.sources (
    source_id text NOT NULL,
    display_name text NOT NULL,
    status text NOT NULL,
    settled_rollback text NOT NULL,
    unknown_bet text NOT NULL,
    late_win text NOT NULL,
    shortfall text NOT NULL,
    zero_amount text NOT NULL,
    created_time timestamptz NOT NULL DEFAULT now(),
    updated_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT a_source_id_is_unique PRIMARY KEY (source_id),
    CONSTRAINT a_source_id_has_1_to_64_characters CHECK (source_id ~ '^[a-z0-9][a-z0-9_.-]{0,63}$'),
    CONSTRAINT a_source_has_a_known_status CHECK (status IN ('enabled', 'disabled')),
    CONSTRAINT rollbacks_of_settled_bets_have_a_known_policy CHECK (settled_rollback IN ('refuse', 'allow')),
    CONSTRAINT wins_of_unknown_bets_have_a_known_policy CHECK (unknown_bet IN ('refuse', 'accept')),
    CONSTRAINT late_wins_have_a_known_policy CHECK (late_win IN ('accept', 'refuse')),
    CONSTRAINT shortfalls_have_a_known_policy CHECK (shortfall IN ('negative', 'clamp', 'reject')),
    CONSTRAINT amounts_of_zero_have_a_known_policy CHECK (zero_amount IN ('accept', 'refuse'))
);

CREATE FUNCTION registry.refuse_to_change_what_amounts_mean() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the code, scale and kind of % cannot change: its amounts would', OLD.currency_code
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'what_amounts_mean_never_changes';
END
$$;

CREATE TRIGGER what_amounts_mean_never_changes BEFORE UPDATE ON registry.currencies
    FOR EACH ROW
    WHEN ((OLD.currency_code, OLD.scale, OLD.kind) IS DISTINCT FROM (NEW.currency_code, NEW.scale, NEW.kind))
    EXECUTE FUNCTION registry.refuse_to_change_what_amounts_mean();
CREATE TRIGGER currencies_are_never_deleted BEFORE DELETE ON registry.currencies
    FOR EACH ROW EXECUTE FUNCTION registry.refuse_to_change_what_amounts_mean();
