-- What exact_listener may do: the listener reads bytes of anybody, so it has no more than it needs.
-- It sees neither tokens nor secrets of others, nor what was read of Exact Online.

CREATE FUNCTION exact._listener_secrets(
		OUT kind text, OUT name text, OUT field text, OUT secret bytea, OUT host text,
		OUT set_at timestamptz)
	RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
		SELECT c.kind, c.name, c.field, c.secret, c.host, c.set_at
		FROM exact.credential AS c
		WHERE c.kind = 'listener'
			OR c.kind = 'app' AND c.field IN ('webhook_secret', 'webhook_secret_next');
END
$$;
COMMENT ON FUNCTION exact._listener_secrets()
	IS 'The secrets that the listener opens, encrypted: of notifications and of its pages';
REVOKE ALL ON FUNCTION exact._listener_secrets() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._listener_secrets() TO exact_listener, exact_worker;

CREATE VIEW exact._token_end AS
SELECT DISTINCT ON (t.app) t.app, t.issued_at, t.expires_at
FROM exact.token AS t
ORDER BY t.app, t.id DESC;
COMMENT ON VIEW exact._token_end IS 'When the newest tokens of each app were issued and end';
COMMENT ON COLUMN exact._token_end.app IS 'App';
COMMENT ON COLUMN exact._token_end.issued_at IS 'When the service issued them; null: not known';
COMMENT ON COLUMN exact._token_end.expires_at IS 'When the access token ends';
REVOKE ALL ON TABLE exact._token_end FROM PUBLIC;
GRANT SELECT ON TABLE exact._token_end TO exact_listener;

CREATE FUNCTION exact._consented(app text, user_name text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE exact.app_state AS s SET user_name = $2
	WHERE s.app = $1 AND s.state = 'authorized' AND s.user_name IS DISTINCT FROM $2
$$;
COMMENT ON FUNCTION exact._consented(text, text)
	IS 'Notes which user of Exact Online consented, as the callback page heard';
REVOKE ALL ON FUNCTION exact._consented(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._consented(text, text) TO exact_listener;

CREATE FUNCTION exact._audit_notifications(first bigint, last bigint, count int, digest bytea)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN exact._audit('listener', 'notification', NULL, NULL,
		jsonb_build_object('from', first, 'to', last, 'count', $3, 'digest',
			encode($4, 'hex')));
END
$$;
COMMENT ON FUNCTION exact._audit_notifications(bigint, bigint, int, bytea)
	IS 'Appends the event of a group of notifications to the chain of the listener: it writes no '
		'other event and no other chain';
REVOKE ALL ON FUNCTION exact._audit_notifications(bigint, bigint, int, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._audit_notifications(bigint, bigint, int, bytea)
	TO exact_listener;

-- notifications
GRANT SELECT (id, at, event_at, digest), INSERT ON TABLE exact.inbox TO exact_listener;
GRANT SELECT (id, taken_at), INSERT ON TABLE exact.inbox_work TO exact_listener;
GRANT USAGE ON SEQUENCE exact.inbox_id_seq TO exact_listener;
GRANT SELECT (name, client_id, base_url, region) ON TABLE exact.app TO exact_listener;
GRANT SELECT (division, app, enabled) ON TABLE exact.division TO exact_listener;
GRANT SELECT (division, entity, enabled) ON TABLE exact.feed TO exact_listener;
GRANT SELECT (entity, topics) ON TABLE exact.catalogue TO exact_listener;
GRANT SELECT ON TABLE exact.installation TO exact_listener;
GRANT SELECT ON TABLE exact.installation_binding TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._bind() TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._hub_mark() TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._app_host(text, text) TO exact_listener;
-- consents
GRANT EXECUTE ON FUNCTION exact._authorization(text, text) TO exact_listener;
-- pages
GRANT SELECT ON TABLE exact.status, exact.services, exact.workers, exact.budget,
	exact.ledger_shape
	TO exact_listener;
GRANT SELECT (division, rows, staged_at, delivered_at, delivered_rows, replay) ON TABLE exact.batch
	TO exact_listener;
GRANT SELECT (division, state) ON TABLE exact.dead_letter TO exact_listener;
GRANT SELECT (division, state, since) ON TABLE exact.judgement TO exact_listener;
GRANT SELECT ON TABLE exact.counter, exact.disk TO exact_listener;
GRANT SELECT (side, name, division, slot, lags) ON TABLE exact.watched TO exact_listener;
GRANT SELECT (at, division, entity, kind, light, what) ON TABLE exact.events TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._event_words(text, jsonb) TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._deliveries(int) TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._workers() TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._binding_finding() TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._interval_setting() TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._is_future(timestamptz) TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._since(timestamptz) TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._age(interval) TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._versions_wait(numeric) TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._shape_of(int) TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._write_wait(int, text) TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._headline(text[], text[]) TO exact_listener;
GRANT EXECUTE ON FUNCTION exact._first_step(), exact._disk_finding() TO exact_listener;
