-- How many commands are being tried again is counted often, and they are few.

CREATE INDEX retried_commands ON inbox.commands (due_time) WHERE state = 'waiting' AND due_time IS NOT NULL;
