-- What quotes are signed with.

-- quote_keys --
-- The first one signs: the newest that all servers have had the time to read.
SELECT key_id::text, secret
FROM fx.quote_keys
ORDER BY created_time > now() - make_interval(secs => $1), key_id DESC;
