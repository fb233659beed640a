-- Who erases what providers sent does not read it: bodies have personal data and tokens of sessions.
-- No release has had a stakehold_eraser that reads more; erasing a player's callbacks takes these two columns.

REVOKE SELECT ON ALL TABLES IN SCHEMA providers FROM stakehold_eraser;
GRANT SELECT (player_id, erased_time) ON providers.callbacks TO stakehold_eraser;
COMMENT ON COLUMN providers.sessions.token_digest IS
    'SHA-256 of the token, which itself is kept nowhere but in the bodies of the callbacks that named it, until these are erased.';
