-- What the rules found: versions that go to Delta with a mark or not at all, and the documents that
-- they are of.

CREATE TABLE exact.verdict (
	batch bigint,
	ord int,
	slot smallint NOT NULL,
	workspace text,
	division int NOT NULL,
	entity text NOT NULL,
	key text NOT NULL,
	seq bigint NOT NULL,
	held text CHECK (held IN ('doubt', 'held')),
	problems text,
	changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	again boolean NOT NULL,
	PRIMARY KEY (batch, ord)
);
COMMENT ON TABLE exact.verdict IS 'Versions in which a rule found a problem; all others are valid';
COMMENT ON COLUMN exact.verdict.batch IS 'Address of the version: batch';
COMMENT ON COLUMN exact.verdict.ord IS 'Its place in the batch';
COMMENT ON COLUMN exact.verdict.slot IS 'Its slot';
COMMENT ON COLUMN exact.verdict.workspace
	IS 'Workspace that it is delivered to; null: its division has none';
COMMENT ON COLUMN exact.verdict.division IS 'Division';
COMMENT ON COLUMN exact.verdict.entity IS 'Entity';
COMMENT ON COLUMN exact.verdict.key IS '_key of the record';
COMMENT ON COLUMN exact.verdict.seq IS '_seq of the version';
COMMENT ON COLUMN exact.verdict.held
	IS 'held: the current table keeps the state before it, with _valid = false; doubt: the same '
		'without a mark, until dimension and document were read again; null: it is delivered';
COMMENT ON COLUMN exact.verdict.problems IS '_problems of the version; null: no problem is left';
COMMENT ON COLUMN exact.verdict.changed_at IS 'When this was found';
COMMENT ON COLUMN exact.verdict.again
	IS 'Delta may have the version without this verdict: it is delivered again, with the same _seq';
CREATE INDEX verdict_again ON exact.verdict (workspace, entity, seq) WHERE again;
COMMENT ON INDEX exact.verdict_again IS 'Versions that go once more';
CREATE INDEX verdict_held ON exact.verdict (workspace, seq) WHERE held IS NOT NULL;
COMMENT ON INDEX exact.verdict_held IS 'Versions that are held';
REVOKE ALL ON TABLE exact.verdict FROM PUBLIC;
GRANT SELECT ON TABLE exact.verdict TO exact_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.verdict TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.verdict', '');

CREATE SEQUENCE exact.judgement_id;
COMMENT ON SEQUENCE exact.judgement_id IS 'Ids of exact.judgement';
REVOKE ALL ON SEQUENCE exact.judgement_id FROM PUBLIC;
GRANT SELECT, USAGE ON SEQUENCE exact.judgement_id TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.judgement_id', '');

CREATE TABLE exact.judgement (
	id bigint NOT NULL UNIQUE DEFAULT pg_catalog.nextval('exact.judgement_id'),
	division int,
	entity text,
	key text,
	state text NOT NULL
		CHECK (state IN ('unread', 'doubt', 'held', 'flagged', 'released')),
	since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	problems text[] NOT NULL DEFAULT '{}',
	waits text[] NOT NULL DEFAULT '{}',
	wait text GENERATED ALWAYS AS (waits[1]) STORED,
	seq bigint NOT NULL DEFAULT 0,
	first boolean NOT NULL DEFAULT false,
	doubt_at timestamptz,
	asked_at timestamptz,
	again boolean NOT NULL DEFAULT false,
	released_seq bigint,
	released_by name,
	released_at timestamptz,
	PRIMARY KEY (division, entity, key)
);
COMMENT ON TABLE exact.judgement
	IS 'Documents in which a rule found a problem; all others have none';
COMMENT ON COLUMN exact.judgement.id IS 'For exact.release()';
COMMENT ON COLUMN exact.judgement.division IS 'Division';
COMMENT ON COLUMN exact.judgement.entity
	IS 'Entity of its header; of a ledger entry: transactionlines';
COMMENT ON COLUMN exact.judgement.key IS 'Key of the document';
COMMENT ON COLUMN exact.judgement.state
	IS 'doubt: dimension and document are read again before the problem counts; held: it waits; '
		'flagged: it is delivered with _valid = false; released: an operator has it delivered so; '
		'unread: not all its lines are read';
COMMENT ON COLUMN exact.judgement.since IS 'When the first of its problems was found';
COMMENT ON COLUMN exact.judgement.problems IS 'A sentence for each problem';
COMMENT ON COLUMN exact.judgement.waits
	IS 'Dimensions whose change makes the hub check the document again: entity:code or entity:key';
COMMENT ON COLUMN exact.judgement.wait IS 'The first of these';
COMMENT ON COLUMN exact.judgement.seq IS 'Highest _seq of its records when it was judged';
COMMENT ON COLUMN exact.judgement.first
	IS 'It came with a first load or a backfill, which holds nothing';
COMMENT ON COLUMN exact.judgement.doubt_at IS 'Since when dimension and document are in doubt';
COMMENT ON COLUMN exact.judgement.asked_at
	IS 'When the rows of an entry of the ledger in doubt were asked for again';
COMMENT ON COLUMN exact.judgement.again IS 'It is to be judged again';
COMMENT ON COLUMN exact.judgement.released_seq
	IS 'exact.release() was called for versions up to this one; null: never';
COMMENT ON COLUMN exact.judgement.released_by IS 'By whom';
COMMENT ON COLUMN exact.judgement.released_at IS 'When';
CREATE INDEX judgement_again ON exact.judgement (division, entity, seq, key) WHERE again;
COMMENT ON INDEX exact.judgement_again IS 'Documents to be judged again';
CREATE INDEX judgement_waits ON exact.judgement USING gin (waits);
COMMENT ON INDEX exact.judgement_waits IS 'Documents that wait for a dimension';
CREATE INDEX judgement_doubt ON exact.judgement (division) WHERE state IN ('doubt', 'unread');
COMMENT ON INDEX exact.judgement_doubt IS 'Documents that a read will tell more of';
CREATE INDEX judgement_held ON exact.judgement (division, entity, wait, since, id)
	WHERE state IN ('doubt', 'held');
COMMENT ON INDEX exact.judgement_held IS 'Documents that are held, and for what';
REVOKE ALL ON TABLE exact.judgement FROM PUBLIC;
GRANT SELECT ON TABLE exact.judgement TO exact_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.judgement TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.judgement', '');

CREATE TABLE exact.unjudged (
	batch bigint PRIMARY KEY,
	division int NOT NULL,
	document text NOT NULL,
	keys text[] NOT NULL,
	feed text NOT NULL,
	waits boolean NOT NULL,
	first boolean NOT NULL,
	since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE exact.unjudged IS 'Batches whose documents are not judged yet';
COMMENT ON COLUMN exact.unjudged.batch IS 'Batch';
COMMENT ON COLUMN exact.unjudged.division IS 'Division';
COMMENT ON COLUMN exact.unjudged.document IS 'Entity of the documents'' headers';
COMMENT ON COLUMN exact.unjudged.keys IS 'Keys of the documents that the batch has rows of';
COMMENT ON COLUMN exact.unjudged.feed IS 'Feed that reads them';
COMMENT ON COLUMN exact.unjudged.waits
	IS 'Its delivery waits for the verdict, ten minutes at most';
COMMENT ON COLUMN exact.unjudged.first IS 'It came with a first load or a backfill';
COMMENT ON COLUMN exact.unjudged.since IS 'When it was staged';
CREATE INDEX unjudged_document ON exact.unjudged (division, document, batch);
COMMENT ON INDEX exact.unjudged_document IS 'Batches of a kind of documents';
REVOKE ALL ON TABLE exact.unjudged FROM PUBLIC;
GRANT SELECT ON TABLE exact.unjudged TO exact_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.unjudged TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.unjudged', '');

-- When a state of a dimension was seen first: a document that is older was right when it was made.
CREATE TABLE exact.dimension_state (
	division int,
	entity text,
	id uuid,
	state text CHECK (state IN ('blocked', 'requires', 'ends')),
	value text NOT NULL,
	seen timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	PRIMARY KEY (division, entity, id, state)
);
COMMENT ON TABLE exact.dimension_state
	IS 'Since when the hub knows that a GL account is blocked or requires a cost center, or that a '
		'cost center ends';
COMMENT ON COLUMN exact.dimension_state.division IS 'Division';
COMMENT ON COLUMN exact.dimension_state.entity IS 'glaccount or costcenter';
COMMENT ON COLUMN exact.dimension_state.id IS 'Key of the record';
COMMENT ON COLUMN exact.dimension_state.state IS 'blocked, requires (a cost center) or ends';
COMMENT ON COLUMN exact.dimension_state.value IS 'Of an end: the day';
COMMENT ON COLUMN exact.dimension_state.seen IS 'When it was seen first';
REVOKE ALL ON TABLE exact.dimension_state FROM PUBLIC;
GRANT SELECT ON TABLE exact.dimension_state TO exact_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE exact.dimension_state TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.dimension_state', '');

CREATE TABLE exact.rule_failure (
	rule text PRIMARY KEY,
	division int NOT NULL,
	entity text NOT NULL,
	key text NOT NULL,
	reason text NOT NULL,
	times bigint NOT NULL DEFAULT 1,
	at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	timeouts int NOT NULL DEFAULT 0,
	suspended_at timestamptz
);
COMMENT ON TABLE exact.rule_failure
	IS 'Customers'' rules that gave no verdict on a document since the last change of exact.rule; '
		'the document went on without them';
COMMENT ON COLUMN exact.rule_failure.rule IS 'Rule';
COMMENT ON COLUMN exact.rule_failure.division IS 'Division of the last document';
COMMENT ON COLUMN exact.rule_failure.entity IS 'Its entity';
COMMENT ON COLUMN exact.rule_failure.key IS 'Its key';
COMMENT ON COLUMN exact.rule_failure.reason IS 'Why there was no verdict';
COMMENT ON COLUMN exact.rule_failure.times IS 'How often';
COMMENT ON COLUMN exact.rule_failure.at IS 'When last';
COMMENT ON COLUMN exact.rule_failure.timeouts
	IS 'For how many documents in a row, until the last one, it took too long';
COMMENT ON COLUMN exact.rule_failure.suspended_at
	IS 'Since when the rule is not called, because it took too long several times';
REVOKE ALL ON TABLE exact.rule_failure FROM PUBLIC;
GRANT SELECT ON TABLE exact.rule_failure TO exact_reader;
GRANT SELECT, INSERT, UPDATE ON TABLE exact.rule_failure TO exact_worker;
SELECT pg_catalog.pg_extension_config_dump('exact.rule_failure', '');
