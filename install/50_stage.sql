-- Versions, their batches, the last state of each record.

-- An epoch has room for 2^40 versions.
CREATE SEQUENCE exact.version_counter MAXVALUE 1099511627775;
COMMENT ON SEQUENCE exact.version_counter IS 'Low part of every _seq';
REVOKE ALL ON SEQUENCE exact.version_counter FROM PUBLIC;
GRANT SELECT, USAGE ON SEQUENCE exact.version_counter TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.version_counter', '');

CREATE SEQUENCE exact.batch_id;
COMMENT ON SEQUENCE exact.batch_id IS 'Ids of exact.batch';
REVOKE ALL ON SEQUENCE exact.batch_id FROM PUBLIC;
GRANT SELECT, USAGE ON SEQUENCE exact.batch_id TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.batch_id', '');

CREATE TABLE exact.stage (
	slot smallint NOT NULL,
	batch bigint NOT NULL,
	ord int NOT NULL,
	seq bigint NOT NULL,
	division int NOT NULL,
	entity text NOT NULL,
	key text NOT NULL,
	op text NOT NULL CHECK (op IN ('I', 'U', 'D', 'E')),
	at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	prev_slot smallint,
	prev_batch bigint,
	prev_ord int,
	hash bytea,
	payload text
) PARTITION BY LIST (slot);
COMMENT ON TABLE exact.stage
	IS 'Every version of every record, written once: queue, audit trail and source of replay; '
		'only exact.erase() changes one. '
		'A version''s address is (slot, batch, ord).';
COMMENT ON COLUMN exact.stage.slot IS 'Partition; a slot covers a sixtieth of the retention';
COMMENT ON COLUMN exact.stage.batch IS 'Batch that it was staged in';
COMMENT ON COLUMN exact.stage.ord IS 'Place in the batch, from 0';
COMMENT ON COLUMN exact.stage.seq
	IS '_seq: one rising number for the whole hub, epoch * 2^40 + counter';
COMMENT ON COLUMN exact.stage.division IS 'Division';
COMMENT ON COLUMN exact.stage.entity IS 'Entity';
COMMENT ON COLUMN exact.stage.key IS '_key of the record';
COMMENT ON COLUMN exact.stage.op
	IS 'I new, U changed, D deleted; E: its content was erased, and it is delivered no more';
COMMENT ON COLUMN exact.stage.at IS 'When it was staged';
COMMENT ON COLUMN exact.stage.prev_slot IS 'Address of the record''s version before: slot';
COMMENT ON COLUMN exact.stage.prev_batch IS 'Its batch';
COMMENT ON COLUMN exact.stage.prev_ord IS 'Its place in the batch';
COMMENT ON COLUMN exact.stage.hash
	IS 'The way of hashing, then SHA-256 over the values of the fields that make a version; '
		'32 bytes: over the bytes as received, as it was done before';
COMMENT ON COLUMN exact.stage.payload
	IS 'The record exactly as received; null for D, whose content is that of the version before, '
		'and for E';
CREATE INDEX stage_address ON exact.stage (batch, ord);
COMMENT ON INDEX exact.stage_address IS 'Versions by address';
REVOKE ALL ON TABLE exact.stage FROM PUBLIC;
GRANT SELECT ON TABLE exact.stage TO exact_reader;
GRANT SELECT, INSERT ON TABLE exact.stage TO exact_worker;

DO $stage$
DECLARE
	name text;
BEGIN
	-- A server that was built without lz4 takes its own way of compressing: exact.check() says so.
	IF EXISTS (
		SELECT
		FROM pg_catalog.pg_settings AS s
		WHERE s.name OPERATOR(pg_catalog.=) 'default_toast_compression'
			AND 'lz4' OPERATOR(pg_catalog.=) ANY (s.enumvals)
	) THEN
		ALTER TABLE exact.stage ALTER COLUMN payload SET COMPRESSION lz4;
	END IF;
	FOR slot IN 0 .. 63 LOOP
		name := 'stage_' OPERATOR(pg_catalog.||) pg_catalog.lpad(slot::text, 2, '0');
		EXECUTE pg_catalog.format(
			'CREATE TABLE exact.%I PARTITION OF exact.stage FOR VALUES IN (%s)'
				' WITH (fillfactor = 100, toast_tuple_target = 8160, autovacuum_enabled = off, '
				'toast.autovacuum_enabled = off)',
			name, slot);
		-- What is published for all tables may be updated only with an identity.
		EXECUTE pg_catalog.format('ALTER TABLE exact.%I REPLICA IDENTITY FULL', name);
		EXECUTE pg_catalog.format('COMMENT ON TABLE exact.%I IS %L', name,
			'Versions of slot ' OPERATOR(pg_catalog.||) slot::text OPERATOR(
				pg_catalog.||) ': read exact.stage');
		EXECUTE pg_catalog.format('REVOKE ALL ON TABLE exact.%I FROM PUBLIC', name);
		PERFORM pg_catalog.pg_extension_config_dump(
			pg_catalog.format('exact.%I', name)::pg_catalog.regclass, '');
	END LOOP;
END
$stage$;

CREATE TABLE exact.stage_slot (
	slot smallint PRIMARY KEY,
	opened_at timestamptz NOT NULL
);
COMMENT ON TABLE exact.stage_slot
	IS 'Partitions of exact.stage that hold versions. One is written until it has lasted a '
		'sixtieth of the retention; when the one after it is older than the retention, the newest '
		'version of each record is carried into the slot of that day and the partition is emptied';
COMMENT ON COLUMN exact.stage_slot.slot IS 'Slot';
COMMENT ON COLUMN exact.stage_slot.opened_at IS 'Since when it is, or was, written';
REVOKE ALL ON TABLE exact.stage_slot FROM PUBLIC;
GRANT SELECT ON TABLE exact.stage_slot TO exact_reader;
GRANT SELECT, INSERT ON TABLE exact.stage_slot TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.stage_slot', '');

-- No other slot is empty: the last one is written on.
CREATE FUNCTION exact._open_slot(width interval,
	OUT slot smallint, OUT ends_at timestamptz, OUT opened boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	last record;
	free smallint;
BEGIN
	opened := false;
	SELECT s.slot, s.opened_at INTO last
	FROM exact.stage_slot AS s ORDER BY s.opened_at DESC, s.slot LIMIT 1;
	slot := last.slot;
	ends_at := last.opened_at + width;
	IF ends_at > clock_timestamp() THEN
		RETURN;
	END IF;
	FOR free IN
		SELECT n.slot
		FROM generate_series(0, 63) AS n (slot)
		WHERE NOT EXISTS (SELECT FROM exact.stage_slot AS s WHERE s.slot = n.slot)
		ORDER BY (n.slot - coalesce(last.slot, 63) + 63) % 64
	LOOP
		CONTINUE WHEN EXISTS (SELECT FROM exact.stage AS v WHERE v.slot = free);
		INSERT INTO exact.stage_slot AS s (slot, opened_at) VALUES (free, clock_timestamp())
		ON CONFLICT ON CONSTRAINT stage_slot_pkey DO NOTHING;
		slot := free;
		ends_at := clock_timestamp() + width;
		opened := true;
		RETURN;
	END LOOP;
	slot := coalesce(slot, 0);
	ends_at := clock_timestamp() + interval '1 minute';
END
$$;
COMMENT ON FUNCTION exact._open_slot(interval)
	IS 'The slot that is written now, and until when; opened: only since this call. width: how '
		'long a slot is written';
REVOKE ALL ON FUNCTION exact._open_slot(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact._open_slot(interval) TO exact_worker;

CREATE TABLE exact.batch (
	id bigint PRIMARY KEY,
	slot smallint NOT NULL,
	workspace text,
	division int NOT NULL,
	entity text NOT NULL,
	feed text,
	run bigint,
	call bigint,
	epoch int NOT NULL,
	rows int NOT NULL CHECK (rows > 0),
	bytes bigint NOT NULL DEFAULT 0,
	seq_min bigint,
	seq_max bigint,
	staged_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	took_ms real,
	delivered_rows int NOT NULL DEFAULT 0,
	delivered_at timestamptz,
	replay bigint,
	erased int NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE exact.batch
	IS 'Versions of one entity that were staged together (a page); '
		'"delivered" is a property of the batch';
COMMENT ON COLUMN exact.batch.id IS 'Order of staging';
COMMENT ON COLUMN exact.batch.slot IS 'Slot of its versions';
COMMENT ON COLUMN exact.batch.workspace
	IS 'Workspace that the division had when it was staged; null: none';
COMMENT ON COLUMN exact.batch.division IS 'Division';
COMMENT ON COLUMN exact.batch.entity IS 'Entity';
COMMENT ON COLUMN exact.batch.feed IS 'Feed that read it';
COMMENT ON COLUMN exact.batch.run IS 'Paging run';
COMMENT ON COLUMN exact.batch.call IS 'Call that brought it: exact.api_call.id';
COMMENT ON COLUMN exact.batch.epoch IS 'Epoch when it was staged';
COMMENT ON COLUMN exact.batch.rows IS 'Versions in it';
COMMENT ON COLUMN exact.batch.bytes IS 'Bytes of their payloads';
COMMENT ON COLUMN exact.batch.seq_min IS 'Lowest _seq';
COMMENT ON COLUMN exact.batch.seq_max IS 'Highest _seq';
COMMENT ON COLUMN exact.batch.staged_at IS 'When it was staged';
COMMENT ON COLUMN exact.batch.took_ms IS 'Milliseconds from the page in hand to the row written';
COMMENT ON COLUMN exact.batch.delivered_rows IS 'Versions delivered, counted from ord 0';
COMMENT ON COLUMN exact.batch.delivered_at IS 'When the last one was delivered; null: some wait';
COMMENT ON COLUMN exact.batch.replay
	IS 'It was delivered before, and goes or went again: the request of exact.replay(), or 0: its '
		'table had lost it';
COMMENT ON COLUMN exact.batch.erased
	IS 'Versions in it whose content was erased: Databricks has none of them';
-- An entry leaves this index once, with the batch's last update; without it "what waits" would read
-- the whole table.
CREATE INDEX batch_waiting ON exact.batch (id) WHERE delivered_at IS NULL;
COMMENT ON INDEX exact.batch_waiting IS 'Batches that wait';
REVOKE ALL ON TABLE exact.batch FROM PUBLIC;
GRANT SELECT ON TABLE exact.batch TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.batch TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.batch', '');

CREATE TABLE exact.record (
	division int,
	entity text,
	key text,
	parent text,
	hash bytea,
	seq bigint NOT NULL,
	slot smallint NOT NULL,
	batch bigint NOT NULL,
	ord int NOT NULL,
	deleted boolean NOT NULL DEFAULT false,
	row_version bigint,
	mark_generation int,
	run bigint,
	first_seen timestamptz NOT NULL DEFAULT pg_catalog.now(),
	erased bigint,
	PRIMARY KEY (division, entity, key)
) WITH (fillfactor = 80);
COMMENT ON TABLE exact.record
	IS 'The newest version of each record: one row per record that was ever read';
COMMENT ON COLUMN exact.record.division IS 'Division';
COMMENT ON COLUMN exact.record.entity IS 'Entity';
COMMENT ON COLUMN exact.record.key IS '_key; Guids in lower case';
COMMENT ON COLUMN exact.record.parent IS 'Key of the document, for lines';
COMMENT ON COLUMN exact.record.hash IS 'Hash of the newest version';
COMMENT ON COLUMN exact.record.seq IS '_seq of the newest version';
COMMENT ON COLUMN exact.record.slot IS 'Address of the newest version: slot';
COMMENT ON COLUMN exact.record.batch IS 'Its batch';
COMMENT ON COLUMN exact.record.ord IS 'Its place in the batch';
COMMENT ON COLUMN exact.record.deleted IS 'It is deleted in Exact Online';
COMMENT ON COLUMN exact.record.row_version IS 'Its Timestamp as last seen';
COMMENT ON COLUMN exact.record.mark_generation IS 'Generation of that row version';
COMMENT ON COLUMN exact.record.run IS 'Run that saw it last';
COMMENT ON COLUMN exact.record.first_seen IS 'When it came first';
COMMENT ON COLUMN exact.record.erased
	IS 'exact.erasure.id that its content was erased by; null: it was not, or it came back with a '
		'later change in Exact Online';
CREATE INDEX record_parent ON exact.record (division, entity, parent) WHERE parent IS NOT NULL;
COMMENT ON INDEX exact.record_parent IS 'Lines of a document';
REVOKE ALL ON TABLE exact.record FROM PUBLIC;
GRANT SELECT ON TABLE exact.record TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.record TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.record', '');
