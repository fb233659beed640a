-- A submission that came in a traced call says so: the trace goes on where its commands are applied.

ALTER TABLE inbox.origins
    ADD COLUMN trace_context text CONSTRAINT a_trace_context_is_a_traceparent CHECK (trace_context ~ '^[0-9a-f-]{55}$');
COMMENT ON COLUMN inbox.origins.trace_context IS 'A W3C traceparent; null: its call was not traced.';
