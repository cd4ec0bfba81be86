-- The second cursor of a feed: it reads again what lies below the live one.

CREATE TABLE exact.backfill (
	division int,
	feed text,
	reason text NOT NULL,
	asked_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	mark bigint NOT NULL DEFAULT 1,
	until bigint,
	nightly boolean NOT NULL DEFAULT false,
	requests bigint[] NOT NULL DEFAULT '{}',
	run bigint NOT NULL,
	next_link text,
	started_at timestamptz,
	first_max bigint NOT NULL DEFAULT 0,
	max bigint NOT NULL DEFAULT 0,
	rising boolean NOT NULL DEFAULT true,
	rows bigint NOT NULL DEFAULT 0,
	calls bigint NOT NULL DEFAULT 0,
	page_at timestamptz,
	night int,
	night_calls int NOT NULL DEFAULT 0,
	errors int NOT NULL DEFAULT 0,
	last_error text,
	last_error_at timestamptz,
	finished_at timestamptz,
	PRIMARY KEY (division, feed)
);
COMMENT ON TABLE exact.backfill
	IS 'The last backfill of each feed. It reads records below the mark of exact.feed_state while '
		'the feed goes on';
COMMENT ON COLUMN exact.backfill.division IS 'Division';
COMMENT ON COLUMN exact.backfill.feed IS 'Feed';
COMMENT ON COLUMN exact.backfill.reason IS 'Why';
COMMENT ON COLUMN exact.backfill.asked_at IS 'Since when it is wanted';
COMMENT ON COLUMN exact.backfill.mark
	IS 'It reads from here, in the terms of exact.feed_state.mark; 1: from the start';
COMMENT ON COLUMN exact.backfill.until
	IS 'To here, of feeds by time of change; null: to the end';
COMMENT ON COLUMN exact.backfill.nightly
	IS 'Started by the hub at night: 200 calls per night and division, the rest in the next nights';
COMMENT ON COLUMN exact.backfill.requests IS 'Requests of exact.backfill() that wait for it';
COMMENT ON COLUMN exact.backfill.run IS 'Its run; a new one makes the fetcher drop a page';
COMMENT ON COLUMN exact.backfill.next_link IS 'Its next page';
COMMENT ON COLUMN exact.backfill.started_at IS 'When its first page was asked for; null: not yet';
COMMENT ON COLUMN exact.backfill.first_max IS 'Highest row version of its first page';
COMMENT ON COLUMN exact.backfill.max IS 'Highest row version of its pages';
COMMENT ON COLUMN exact.backfill.rising IS 'No page began below the highest of those before it';
COMMENT ON COLUMN exact.backfill.rows IS 'Records read';
COMMENT ON COLUMN exact.backfill.calls IS 'Pages read';
COMMENT ON COLUMN exact.backfill.page_at IS 'When the last of them was stored';
COMMENT ON COLUMN exact.backfill.night IS 'Night of the last nightly page, in days since 2000';
COMMENT ON COLUMN exact.backfill.night_calls IS 'Pages read in that night';
COMMENT ON COLUMN exact.backfill.errors IS 'Failures in a row';
COMMENT ON COLUMN exact.backfill.last_error IS 'What went wrong last';
COMMENT ON COLUMN exact.backfill.last_error_at IS 'When';
COMMENT ON COLUMN exact.backfill.finished_at IS 'When it ended; null: it goes on';
CREATE INDEX backfill_open ON exact.backfill (division, feed) WHERE finished_at IS NULL;
COMMENT ON INDEX exact.backfill_open IS 'Backfills that go on';
REVOKE ALL ON TABLE exact.backfill FROM PUBLIC;
GRANT SELECT ON TABLE exact.backfill TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.backfill TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.backfill', '');

-- One backfill a feed. What is asked for while one goes on widens it, and it begins anew; a nightly
-- one waits for nothing, since the one that goes on reads to the end.
CREATE FUNCTION exact._want_backfill(division int, feed text, reason text, mark bigint,
	until bigint, nightly boolean, request bigint)
RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO exact.backfill AS b (division, feed, reason, mark, until, nightly, requests, run)
	VALUES ($1, $2, $3, $4, $5, $6, array_remove(ARRAY[$7], NULL), nextval('exact.run_id'))
	ON CONFLICT ON CONSTRAINT backfill_pkey DO UPDATE
		SET reason = excluded.reason, asked_at = clock_timestamp(), run = excluded.run,
			mark = CASE
				WHEN b.finished_at IS NULL THEN least(b.mark, excluded.mark)
				ELSE excluded.mark
			END,
			until = CASE
				WHEN b.finished_at IS NOT NULL THEN excluded.until
				WHEN b.until IS NOT NULL AND excluded.until IS NOT NULL
					THEN greatest(b.until, excluded.until)
			END,
			nightly = excluded.nightly,
			requests = CASE
				WHEN b.finished_at IS NULL THEN b.requests || excluded.requests
				ELSE excluded.requests
			END,
			next_link = NULL, started_at = NULL, first_max = 0, max = 0, rising = true, rows = 0,
			calls = 0, page_at = NULL, errors = 0, last_error = NULL, last_error_at = NULL,
			finished_at = NULL
		WHERE b.finished_at IS NOT NULL OR NOT excluded.nightly
	RETURNING b.run
$$;
COMMENT ON FUNCTION exact._want_backfill(int, text, text, bigint, bigint, boolean, bigint)
	IS 'Has a feed read again from a mark (1: from the start) beside its live changes; returns the '
		'run, null: a backfill that goes on covers it';
REVOKE ALL ON FUNCTION exact._want_backfill(int, text, text, bigint, bigint, boolean, bigint)
	FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._want_backfill(int, text, text, bigint, bigint, boolean, bigint)
	TO exact_worker;
