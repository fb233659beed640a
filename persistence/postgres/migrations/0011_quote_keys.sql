-- The keys that quotes are signed with. The newest one signs; all of them are good.

CREATE TABLE fx.quote_keys (
    key_id bigint GENERATED ALWAYS AS IDENTITY,
    secret bytea NOT NULL,
    created_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT quote_keys_are_numbered PRIMARY KEY (key_id),
    CONSTRAINT a_quote_key_has_32_bytes CHECK (octet_length(secret) = 32)
);
COMMENT ON TABLE fx.quote_keys IS 'Secret: for the registrar alone.';

-- Postgres has no other source of strong randomness without an extension: 122 bits in each.
INSERT INTO fx.quote_keys (secret)
VALUES (sha256((gen_random_uuid()::text || gen_random_uuid()::text)::bytea));

REVOKE ALL ON fx.quote_keys FROM PUBLIC, stakehold_reader, stakehold_writer;
GRANT SELECT ON fx.quote_keys TO stakehold_registrar;

CREATE INDEX conversions_by_time ON ledger.entries (booked_time, partition, chain_position)
    WHERE conversion IS NOT NULL;
