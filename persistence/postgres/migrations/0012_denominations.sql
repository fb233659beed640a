-- The units that providers write amounts in: mBTC, gwei, hundred thousandths of a euro.

CREATE TABLE registry.denominations (
    denomination_code text NOT NULL,
    currency_code text NOT NULL,
    exponent smallint NOT NULL,
    created_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT a_denomination_code_is_unique PRIMARY KEY (denomination_code),
    CONSTRAINT a_denomination_is_of_a_currency FOREIGN KEY (currency_code) REFERENCES registry.currencies,
    CONSTRAINT a_denomination_code_has_1_to_32_characters CHECK (denomination_code ~ '^[A-Za-z][A-Za-z0-9_.-]{0,31}$'),
    CONSTRAINT a_denomination_is_10_to_the_minus_18_to_18 CHECK (exponent BETWEEN -18 AND 18)
);
COMMENT ON TABLE registry.denominations IS 'One unit is 10^exponent units of the currency. Never changed.';

CREATE FUNCTION registry.refuse_to_change_a_denomination() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% cannot change: its amounts would', OLD.denomination_code
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'what_amounts_mean_never_changes';
END
$$;

CREATE TRIGGER denominations_are_never_changed BEFORE UPDATE OR DELETE ON registry.denominations
    FOR EACH ROW EXECUTE FUNCTION registry.refuse_to_change_a_denomination();

-- Whoever puts a code waits for the others that do: of two that come together with one code, the later sees the earlier.
CREATE FUNCTION registry.require_one_meaning_of_a_code() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    code text := coalesce(to_jsonb(NEW) ->> 'denomination_code', to_jsonb(NEW) ->> 'currency_code');
    is_taken boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('stakehold codes', 0));
    IF TG_TABLE_NAME = 'currencies' THEN
        is_taken := EXISTS (SELECT FROM registry.denominations WHERE denomination_code = code);
    ELSE
        is_taken := EXISTS (SELECT FROM registry.currencies WHERE currency_code = code);
    END IF;
    IF is_taken THEN
        RAISE EXCEPTION '% cannot be both a currency and a denomination', code
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'a_code_is_a_currency_or_a_denomination';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER a_code_is_a_currency_or_a_denomination BEFORE INSERT ON registry.currencies
    FOR EACH ROW EXECUTE FUNCTION registry.require_one_meaning_of_a_code();
CREATE TRIGGER a_code_is_a_currency_or_a_denomination BEFORE INSERT ON registry.denominations
    FOR EACH ROW EXECUTE FUNCTION registry.require_one_meaning_of_a_code();

REVOKE ALL ON FUNCTION registry.refuse_to_change_a_denomination, registry.require_one_meaning_of_a_code FROM PUBLIC;
GRANT SELECT ON registry.denominations TO stakehold_reader, stakehold_registrar;
GRANT INSERT ON registry.denominations TO stakehold_registrar;
