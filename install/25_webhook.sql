-- Notifications for those who receive HTTP elsewhere.

CREATE FUNCTION exact.verify_webhook(app text, body bytea) RETURNS boolean
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact_verify_webhook';
COMMENT ON FUNCTION exact.verify_webhook(text, bytea)
	IS 'Checks whether a request body, byte for byte as received, is a notification signed with '
		'the current or next webhook secret of the app. Stores nothing. EX004: the app has no '
		'webhook secret; EX022: the body is above 64 kB';
REVOKE ALL ON FUNCTION exact.verify_webhook(text, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.verify_webhook(text, bytea) TO exact_operator;

CREATE FUNCTION exact.receive_webhook(body bytea) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'exact_receive_webhook';
COMMENT ON FUNCTION exact.receive_webhook(bytea)
	IS 'Takes in a notification, byte for byte as received: accepted, duplicate (known for seven '
		'days) or validation (empty body: the service tries the address). '
		'Commit before you answer HTTP 200. EX022 when the signature is wrong (answer 401) or the '
		'body is above 64 kB (413), EX004 when no app has a webhook secret (503)';
REVOKE ALL ON FUNCTION exact.receive_webhook(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.receive_webhook(bytea) TO exact_operator;

-- The listener appends one event for many; here an event is made at commit, so that an open
-- transaction holds no chain.
CREATE FUNCTION exact._audit_notification() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT exact._restoring() AND exact._binding_finding() IS NULL THEN
		PERFORM exact._audit('sql', 'notification', NULL, NULL,
			jsonb_build_object('from', new.id, 'to', new.id, 'count', 1,
				'digest', encode(sha256(new.digest), 'hex')));
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._audit_notification()
	IS 'Trigger: an event for each notification received by exact.receive_webhook(), at commit; '
		'silent in a restored copy until exact.adopt()';
REVOKE ALL ON FUNCTION exact._audit_notification() FROM PUBLIC;
CREATE CONSTRAINT TRIGGER audit_notification AFTER INSERT ON exact.inbox
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	WHEN (current_user <> 'exact_listener') EXECUTE FUNCTION exact._audit_notification();
COMMENT ON TRIGGER audit_notification ON exact.inbox
	IS 'Appends an event to the chain "sql" at commit; the listener has its own chain';
