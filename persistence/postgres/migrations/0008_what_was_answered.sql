ALTER TABLE ledger.incidents ADD COLUMN stands_as text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN ledger.incidents.stands_as IS
    'As an entry of one of these types the transaction is in the ledger as its caller was told.';

UPDATE ledger.incidents SET stands_as = '{applied,no_movement}' WHERE kind = 'acknowledged_lost';
