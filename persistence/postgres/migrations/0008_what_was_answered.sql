ALTER TABLE ledger.incidents ADD COLUMN told text, ADD COLUMN told_fingerprint text;
COMMENT ON COLUMN ledger.incidents.told IS
    'Of an answer that was lost: the type of entry that its caller was told of, as which it has to be in the ledger.';
COMMENT ON COLUMN ledger.incidents.told_fingerprint IS 'And of which payload.';
