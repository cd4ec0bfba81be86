-- What a 429 of Exact Online was taken for: a limit of the division, or a block of one endpoint.
-- And endpoints that the hub leaves alone by itself, before their errors become such a block.

CREATE TABLE exact.rate_limit (
	division int,
	resource text,
	reading text NOT NULL CHECK (
		reading IN ('minute', 'day', 'unknown', 'endpoint', 'errors', 'writes')),
	since timestamptz NOT NULL,
	until timestamptz NOT NULL,
	times int NOT NULL,
	PRIMARY KEY (division, resource)
);
COMMENT ON TABLE exact.rate_limit
	IS 'Limits that hold now: answers 429 of Exact Online, and endpoints with many errors. '
		'exact.budget shows them';
COMMENT ON COLUMN exact.rate_limit.division IS 'Division; 0: calls outside a division';
COMMENT ON COLUMN exact.rate_limit.resource
	IS 'Endpoint that is left alone; empty: the whole division waits';
COMMENT ON COLUMN exact.rate_limit.reading
	IS 'Meaning of the 429: minute or day (a limit that its headers name), unknown (it has no '
		'headers, so the division waits), endpoint (blocked after too many errors, or it alone '
		'answers 429). errors: no 429; after six errors of the endpoint within an hour the hub '
		'does not call it; writes: after six errors the hub reads it and does not write to it';
COMMENT ON COLUMN exact.rate_limit.since IS 'First of the answers 429, or of the errors';
COMMENT ON COLUMN exact.rate_limit.until IS 'When the next call is made';
COMMENT ON COLUMN exact.rate_limit.times IS 'How many in a row; each wait is longer than the last';
REVOKE ALL ON TABLE exact.rate_limit FROM PUBLIC;
GRANT SELECT ON TABLE exact.rate_limit TO exact_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.rate_limit TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.rate_limit', '');
