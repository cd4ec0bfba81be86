-- A record by what is printed on it. Nothing is indexed for it: the versions of the division are
-- read batch by batch, most of them by a search for a piece of text that the record must contain.

-- Blanks around a text, of whatever kind, are none of it; nor is the difference between A and a.
CREATE FUNCTION exact._printed(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT lower(btrim($1, E' \t\n\r\f\u00a0'))
$$;
COMMENT ON FUNCTION exact._printed(text)
	IS 'A text as it is compared: without blanks before and after, in lower case';
REVOKE ALL ON FUNCTION exact._printed(text) FROM PUBLIC;

CREATE FUNCTION exact._is_guid(value text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT $1 ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
$$;
COMMENT ON FUNCTION exact._is_guid(text) IS 'Is a text a Guid, as the keys of most entities are';
REVOKE ALL ON FUNCTION exact._is_guid(text) FROM PUBLIC;

CREATE FUNCTION exact._amounts_meant(what text) RETURNS numeric[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	plain text := regexp_replace($1,
		E'[\\s\u00a0\u202f''\u2019+]|[€$£]|\\m(eur|usd|gbp|chf)\\M', '', 'gi');
	meant numeric[] := '{}';
BEGIN
	IF plain ~ E'^\\(.*\\)$' THEN
		plain := substr(plain, 2, length(plain) - 2);
	END IF;
	plain := regexp_replace(plain, '^-|-$', '');
	IF length(plain) > 24 THEN
		RETURN meant;
	ELSIF plain ~ '^[0-9]+$' THEN
		RETURN ARRAY[plain::numeric];
	END IF;
	-- 1.234 is twelve hundred to some and one and a bit to others
	IF plain ~ E'^[0-9]{1,3}(\\.[0-9]{3})+(,[0-9]+)?$' THEN
		meant := meant || replace(replace(plain, '.', ''), ',', '.')::numeric;
	END IF;
	IF plain ~ E'^[0-9]{1,3}(,[0-9]{3})+(\\.[0-9]+)?$' THEN
		meant := meant || replace(plain, ',', '')::numeric;
	END IF;
	IF plain ~ '^[0-9]*[.,][0-9]+$' THEN
		meant := meant || replace(plain, ',', '.')::numeric;
	END IF;
	RETURN meant;
END
$$;
COMMENT ON FUNCTION exact._amounts_meant(text)
	IS 'The amounts that a text may mean, without sign: 1.234,56 and 1,234.56, with or without a '
		'currency; empty: it is no amount';
REVOKE ALL ON FUNCTION exact._amounts_meant(text) FROM PUBLIC;

-- Pieces of which a record as received contains one if it has the text or the amount in a field:
-- what no service writes in another way.
CREATE FUNCTION exact._pieces(what text, amounts numeric[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	bare text := coalesce(nullif(ltrim(what, '0'), ''), '0');
	piece text;
	noisy text;
	pieces text[] := '{}';
	amount numeric;
BEGIN
	SELECT btrim(m[1]) INTO piece
	FROM regexp_matches(bare, E'[][a-z0-9 .,:;_%#@*()=?!|~{}-]+', 'g') AS m
	ORDER BY length(btrim(m[1])) DESC LIMIT 1;
	-- what has the sign of a currency is an amount and nothing else
	IF amounts = '{}' OR what !~ '[a-z€$£()]' THEN
		pieces := ARRAY[coalesce(nullif(piece, ''), left(what, 1))];
		IF coalesce(piece, '') = '' THEN
			pieces := pieces || ARRAY[upper(left(what, 1)), CASE left(what, 1)
				WHEN '"' THEN E'\\"'
				ELSE E'\\u'
			END];
		END IF;
	END IF;
	FOREACH amount IN ARRAY amounts LOOP
		CONTINUE WHEN what ~ '^[0-9]+$';
		piece := trim_scale(amount)::text;
		-- of the noise of doubles: 1234.56 may come as 1234.5599999999999
		noisy := trunc(greatest(amount - 0.00000001, 0), 6)::text;
		IF length(piece) > 5 AND left(noisy, length(piece) - 1) = left(piece, -1) THEN
			pieces := pieces || left(piece, -1);
		ELSE
			pieces := pieces || piece || noisy;
		END IF;
	END LOOP;
	RETURN pieces;
END
$$;
COMMENT ON FUNCTION exact._pieces(text, numeric[])
	IS 'Texts of which a record must contain one to be what is looked for';
REVOKE ALL ON FUNCTION exact._pieces(text, numeric[]) FROM PUBLIC;

-- Which fields of each entity are looked at, under their names in the records.
CREATE FUNCTION exact._find_fields(
	OUT entity text, OUT line boolean, OUT numbers text[], OUT others text[], OUT names text[],
	OUT amounts text[], OUT dates text[])
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT f.entity, coalesce(c.row_kind = 'line', f.entity = 'transactionlines'),
		array_agg(f.source_field ORDER BY w.ord) FILTER (WHERE w.kind = 'number'),
		array_agg(f.source_field ORDER BY w.ord) FILTER (WHERE w.kind = 'other'),
		array_agg(f.source_field ORDER BY w.ord) FILTER (WHERE w.kind = 'name'),
		array_agg(f.source_field ORDER BY w.ord) FILTER (WHERE w.kind = 'amount'),
		array_agg(f.source_field ORDER BY w.ord) FILTER (WHERE w.kind = 'date')
	FROM (VALUES
		('number', ARRAY['Code', 'EntryNumber', 'InvoiceNumber', 'OrderNumber', 'QuotationNumber',
			'DeliveryNumber', 'ItemCode']),
		('other', ARRAY['YourRef', 'PaymentReference', 'OurRef', 'SearchCode', 'Barcode', 'IBAN',
			'BankAccount', 'VATNumber', 'ChamberOfCommerce', 'DocumentNumber']),
		('name', ARRAY['Name', 'FullName', 'Description', 'SupplierName', 'CustomerName',
			'InvoiceToName', 'OrderedByName', 'AccountName', 'Subject', 'ItemDescription',
			'GLAccountDescription', 'JournalDescription']),
		('amount', ARRAY['AmountDC', 'Amount', 'AmountFC', 'AmountFCExclVat']),
		('date', ARRAY['EntryDate', 'InvoiceDate', 'OrderDate', 'Date', 'DocumentDate',
			'DeliveryDate', 'Created'])
	) AS k (kind, names)
	CROSS JOIN LATERAL unnest(k.names) WITH ORDINALITY AS n (name, ord)
	CROSS JOIN LATERAL (SELECT k.kind, n.ord) AS w
	JOIN exact.catalogue_field AS f ON f.name = n.name
	JOIN exact.catalogue AS c ON c.entity = f.entity
	GROUP BY f.entity, c.row_kind
$$;
COMMENT ON FUNCTION exact._find_fields()
	IS 'For exact.find(): fields of each entity by what they hold';
REVOKE ALL ON FUNCTION exact._find_fields() FROM PUBLIC;

-- 1 its number or code, 2 the same but for leading zeros, 3 another reference, 4 its name,
-- 5 an amount, 6 a part of its name; null: nothing of it.
CREATE FUNCTION exact._find_rank(content text, numbers text[], others text[], names text[],
	amounts text[], what text, meant numeric[])
RETURNS int
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	bare text := ltrim(what, '0');
	part boolean := length(what) >= 3 AND what ~ '[^0-9.,]';
	best int;
	found_rank int;
	field text;
	value text;
BEGIN
	FOR field, value IN
		-- as exact._printed(), which would cost more than all the rest
		SELECT j.key, lower(btrim(j.value #>> '{}', E' \t\n\r\f\u00a0'))
		FROM json_each(content::json) AS j
		WHERE j.key = ANY (numbers || others || names || amounts)
	LOOP
		CONTINUE WHEN value IS NULL OR value = '';
		found_rank := CASE
			WHEN field = ANY (numbers) AND value = what THEN 1
			WHEN field = ANY (numbers) AND ltrim(value, '0') = bare THEN 2
			WHEN field = ANY (others) AND ltrim(value, '0') = bare THEN 3
			WHEN field = ANY (names) AND value = what THEN 4
			WHEN field = ANY (amounts) AND value ~ '^-?[0-9]{1,20}([.][0-9]+)?(e[-+]?[0-9]{1,2})?$'
					AND round(abs(value::numeric), 4) = ANY (meant)
				THEN 5
			WHEN part AND field = ANY (names) AND strpos(value, what) > 0 THEN 6
		END;
		best := least(best, found_rank);
		EXIT WHEN best = 1;
	END LOOP;
	RETURN best;
EXCEPTION WHEN data_exception THEN
	-- a sign that no text can hold, in whatever field: the others are as they are
	IF content ~ E'\\\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})' THEN
		RETURN exact._find_rank(regexp_replace(content,
			E'\\\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', E'\\\\ufffd', 'g'), numbers, others, names,
			amounts, what, meant);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._find_rank(text, text[], text[], text[], text[], text, numeric[])
	IS 'How a record is what is looked for, 1 the likeliest; null: it is not';
REVOKE ALL ON FUNCTION exact._find_rank FROM PUBLIC;

CREATE FUNCTION exact._date_in(content text, fields text[]) RETURNS date
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	value text := exact._text_in(content, fields);
BEGIN
	IF value ~ E'^/Date\\(-?[0-9]{1,14}\\)/$' THEN
		RETURN (timestamp '1970-01-01'
			+ substring(value FROM E'-?[0-9]+')::bigint * interval '1 ms')::date;
	END IF;
	RETURN substring(value FROM '^[0-9]{4}-[0-9]{2}-[0-9]{2}')::date;
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._date_in(text, text[])
	IS 'The first of these fields that a record has, as a date; null: it has none';
REVOKE ALL ON FUNCTION exact._date_in(text, text[]) FROM PUBLIC;

-- The newest versions are read first, so many rows at a time, until enough was found. Of an entity
-- that is named: only by what it is called, as a key is taken from it.
CREATE FUNCTION exact._find_hits(division int, within text, what text,
	OUT entity text, OUT key text, OUT line boolean, OUT rank int, OUT deleted boolean,
	OUT slot smallint, OUT batch bigint, OUT ord int, OUT parent text, OUT first_seen timestamptz,
	OUT seq bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	enough constant int := 2000;
	wanted constant text := exact._printed($3);
	meant constant numeric[] :=
		CASE WHEN $2 IS NULL THEN exact._amounts_meant(wanted) ELSE '{}' END;
	p constant text[] := exact._pieces(wanted, meant);
	cased constant boolean := EXISTS (SELECT FROM unnest(p) AS x WHERE x ~ '[a-z]');
	few constant boolean := length(wanted) < 3;
	-- a short number stands in most records, but seldom before a sign that ends a value
	ends constant text[] := CASE WHEN wanted ~ '^[0-9]{1,4}$' OR (few AND wanted ~ '^[0-9a-z]+$')
		THEN ARRAY(SELECT p[1] || e
			FROM unnest(ARRAY['"', ',', '}', ' ', '.', E'\n', E'\r', E'\\']) AS e) END;
	part bigint[];
	n bigint;
	found_so_far bigint := 0;
	jit_was constant text := current_setting('jit');
BEGIN
	-- a plan over all partitions is compiled for ten seconds, and runs for less
	PERFORM set_config('jit', 'off', true);
	FOR part IN
		SELECT array_agg(b.id)
		FROM (
			SELECT x.id, sum(x.rows) OVER (ORDER BY x.id DESC) / 50000 AS part
			FROM exact.batch AS x
			WHERE x.division = $1 AND x.entity = coalesce($2, x.entity)
		) AS b
		GROUP BY b.part
		ORDER BY b.part
	LOOP
		RETURN QUERY
			SELECT DISTINCT ON (r.entity, r.key) r.entity, r.key, f.line, x.rank, r.deleted,
				r.slot, r.batch, r.ord, r.parent, r.first_seen, r.seq
			FROM exact.batch AS b
			JOIN exact._find_fields() AS f ON f.entity = b.entity
			-- each is looked up by its whole key: plans are made while tables are small
			CROSS JOIN LATERAL (
				SELECT v.slot, v.batch, v.ord, v.key, v.payload
				FROM exact.stage AS v
				CROSS JOIN LATERAL (SELECT CASE WHEN cased THEN lower(v.payload COLLATE "C")
					ELSE v.payload COLLATE "C" END AS text OFFSET 0) AS t
				WHERE v.slot = b.slot AND v.batch = b.id AND v.payload IS NOT NULL
					AND (strpos(t.text, p[1]) > 0 OR strpos(t.text, p[2]) > 0
						OR strpos(t.text, p[3]) > 0 OR strpos(t.text, p[4]) > 0
						OR strpos(t.text, p[5]) > 0)
					AND (ends IS NULL
						OR EXISTS (SELECT FROM unnest(ends) AS e WHERE strpos(t.text, e) > 0))
				OFFSET 0) AS v
			CROSS JOIN LATERAL (
				SELECT y.* FROM exact.record AS y
				WHERE y.division = b.division AND y.entity = b.entity AND y.key = v.key
				OFFSET 0) AS r
			CROSS JOIN LATERAL (
				SELECT exact._find_rank(v.payload, f.numbers,
					CASE WHEN $2 IS NULL THEN f.others END, CASE WHEN $2 IS NULL THEN f.names END,
					f.amounts, wanted, meant) AS rank
				WHERE (r.slot = v.slot AND r.batch = v.batch AND r.ord = v.ord)
					OR (r.deleted AND exact._content(r.slot, r.batch, r.ord) = v.payload)
				OFFSET 0) AS x
			WHERE b.id = ANY (part)
				AND ($2 IS NOT NULL OR NOT few OR NOT f.line)
				AND x.rank IS NOT NULL
			ORDER BY r.entity, r.key, x.rank;
		GET DIAGNOSTICS n = ROW_COUNT;
		found_so_far := found_so_far + n;
		EXIT WHEN found_so_far > enough;
	END LOOP;
	PERFORM set_config('jit', jit_was, true);
END
$$;
COMMENT ON FUNCTION exact._find_hits(int, text, text)
	IS 'Records of a division, or of one of its entities, that a text is printed on. Of an entity: '
		'by number or code only; of all: not lines by one or two signs. Ends when 2,000 were '
		'found, the newest versions first';
REVOKE ALL ON FUNCTION exact._find_hits(int, text, text) FROM PUBLIC;

CREATE FUNCTION exact.find(
	division int, what text, OUT entity text, OUT key text, OUT number text, OUT name text,
	OUT at date, OUT amount numeric, OUT deleted boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	most constant int := 200;
	wanted text := exact._printed($2);
	guid boolean := exact._is_guid(wanted);
	hits bigint;
BEGIN
	PERFORM exact._require_division($1);
	IF coalesce(wanted, '') = '' OR length($2) > 200 THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = CASE
				WHEN length($2) > 200 THEN 'no record has a text of more than 200 characters'
				ELSE 'the text to look for is missing'
			END,
			HINT = format('SELECT * FROM exact.find(%s, ''900001''): a number, code, name or '
				'amount as it is printed.', $1);
	END IF;
	FOR entity, key, number, name, at, amount, deleted, hits IN
		WITH hit AS MATERIALIZED (
			-- a deleted record may have been read twice
			(SELECT DISTINCT ON (h.entity, h.key) h.*
			FROM exact._find_hits($1, NULL, $2) AS h
			WHERE NOT guid
			ORDER BY h.entity, h.key, h.rank)
			UNION ALL
			SELECT r.entity, r.key, false, 0, r.deleted, r.slot, r.batch, r.ord, r.parent,
				r.first_seen, r.seq
			FROM exact.catalogue AS c
			CROSS JOIN LATERAL (SELECT y.* FROM exact.record AS y
				WHERE y.division = $1 AND y.entity = c.entity AND y.key IN (btrim($2), wanted)
				OFFSET 0) AS r
			WHERE guid
		), newest AS MATERIALIZED (
			SELECT h.*, count(*) OVER () AS hits
			FROM hit AS h
			ORDER BY h.line, h.deleted, h.rank, h.seq DESC
			LIMIT 10 * most
		), dated AS MATERIALIZED (
			SELECT n.*, c.content,
				coalesce(exact._date_in(c.content, f.dates), n.first_seen::date) AS at
			FROM newest AS n
			LEFT JOIN exact._find_fields() AS f ON f.entity = n.entity
			CROSS JOIN LATERAL (SELECT exact._content(n.slot, n.batch, n.ord) AS content OFFSET 0)
				AS c
			ORDER BY n.line, n.deleted, n.rank, at DESC, n.seq DESC
			LIMIT most
		)
		SELECT d.entity, d.key, exact._number_in_full($1, d.entity, d.parent, d.content),
			coalesce(exact._name_of(d.entity, d.content), (
				SELECT format('erased (request %s)', y.erased) FROM exact.record AS y
				WHERE y.division = $1 AND y.entity = d.entity AND y.key = d.key
					AND y.erased IS NOT NULL)),
			d.at,
			exact._number_in(d.content,
				exact._fields_named(d.entity, 'AmountDC', 'Amount', 'AmountFC'))
				* exact._amount_sign($1, d.entity),
			d.deleted, d.hits
		FROM dated AS d
		ORDER BY d.line, d.deleted, d.rank, d.at DESC, d.seq DESC
	LOOP
		RETURN NEXT;
	END LOOP;
	IF hits > most THEN
		RAISE NOTICE USING
			MESSAGE = format('%s%s records have it; these are the likeliest %s, the newest first',
				CASE WHEN hits > 10 * most THEN 'more than ' END, least(hits, 10 * most), most),
			HINT = 'More of the text, or the number in place of the amount, finds fewer.';
	END IF;
END
$$;
COMMENT ON FUNCTION exact.find(int, text)
	IS 'Records of a division by what is printed on them: number, code, reference, name or a part '
		'of it, amount (1.234,56 or 1,234.56, without regard to its sign), or key. The likeliest '
		'first: documents and master data before lines, numbers before names before amounts, then '
		'the newest; at most 200, a notice tells of more. Of one or two signs no lines are found. '
		'The versions of the division are read, some seconds for a million, until 2,000 records '
		'were found. EX018: nothing to look for';
REVOKE ALL ON FUNCTION exact.find(int, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.find(int, text) TO exact_reader;

CREATE FUNCTION exact._line_hits(division int, within text, document text, line numeric,
	OUT key text, OUT deleted boolean, OUT rank int, OUT seq bigint, OUT slot smallint,
	OUT batch bigint, OUT ord int)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	header text := (SELECT h.entity
		FROM exact.catalogue AS l
		JOIN exact.catalogue AS h ON h.feed = l.feed AND h.row_kind = 'header'
		WHERE l.entity = $2 AND l.row_kind = 'line' LIMIT 1);
BEGIN
	RETURN QUERY
		SELECT l.key, l.deleted, l.rank, l.seq, l.slot, l.batch, l.ord
		FROM (
			SELECT h.key, h.deleted, h.rank, h.seq, h.slot, h.batch, h.ord
			FROM exact._find_hits($1, $2, $3) AS h
			WHERE header IS NULL
			UNION ALL
			SELECT r.key, r.deleted, h.rank, r.seq, r.slot, r.batch, r.ord
			FROM exact._find_hits($1, header, $3) AS h
			CROSS JOIN LATERAL (SELECT y.* FROM exact.record AS y
				WHERE y.division = $1 AND y.entity = $2 AND y.parent = h.key
				OFFSET 0) AS r
			WHERE header IS NOT NULL
		) AS l
		WHERE exact._number_in(exact._content(l.slot, l.batch, l.ord),
			exact._fields_named($2, 'LineNumber')) = $4;
END
$$;
COMMENT ON FUNCTION exact._line_hits(int, text, text, numeric)
	IS 'Lines of an entity by the number of their document and their own';
REVOKE ALL ON FUNCTION exact._line_hits(int, text, text, numeric) FROM PUBLIC;

CREATE FUNCTION exact._has_guids(entity text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM exact.catalogue_field AS f
		WHERE f.entity = $1 AND f.key AND f.edm_type = 'Edm.Guid')
$$;
COMMENT ON FUNCTION exact._has_guids(text) IS 'Are the keys of an entity Guids';
REVOKE ALL ON FUNCTION exact._has_guids(text) FROM PUBLIC;

-- A key, or the number or code in its place; of a line number of its document/number of the line.
CREATE FUNCTION exact._record_named(division int, entity text, key text) RETURNS exact.record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r exact.record;
	line constant text[] := regexp_match($3, '^(.+)/([0-9]{1,9})$');
	hits int;
	taken text;
	others text;
BEGIN
	SELECT x.*
	INTO r
	FROM exact.record AS x
	WHERE x.division = $1 AND x.entity = $2 AND x.key IN ($3, lower($3))
	ORDER BY x.key = $3 DESC
	LIMIT 1;
	IF r.key IS NOT NULL OR exact._is_guid(btrim($3)) OR coalesce(exact._printed($3), '') = ''
			OR length($3) > 200 THEN
		RETURN r;
	END IF;
	-- what is deleted counts when nothing else has the number, and 007 before 7
	WITH hit AS MATERIALIZED (
		SELECT h.*, dense_rank() OVER (ORDER BY h.deleted, h.rank) AS place
		FROM (
			SELECT DISTINCT n.key, n.deleted, n.rank, n.seq, n.slot, n.batch, n.ord
			FROM exact._find_hits($1, $2, $3) AS n
			UNION ALL
			SELECT l.key, l.deleted, l.rank, l.seq, l.slot, l.batch, l.ord
			FROM exact._line_hits($1, $2, line[1], line[2]::numeric) AS l
			WHERE line IS NOT NULL
		) AS h
	), named AS MATERIALIZED (
		SELECT h.key, h.seq, count(*) OVER () AS hits,
			exact._content(h.slot, h.batch, h.ord) AS content
		FROM hit AS h
		WHERE h.place = 1
		ORDER BY h.seq DESC
		LIMIT 10
	)
	SELECT max(n.hits), (array_agg(n.key ORDER BY n.seq DESC))[1],
		string_agg(concat(n.key, ' (', concat_ws(', ', left(exact._name_of($2, n.content), 40),
			exact._number_in(n.content,
				exact._fields_named($2, 'AmountDC', 'Amount', 'AmountFC'))), ')'), '; '
			ORDER BY n.seq DESC)
	INTO hits, taken, others
	FROM named AS n;
	IF hits IS NULL THEN
		RETURN NULL;
	ELSIF hits > 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'EX018',
			MESSAGE = format('%s records of %s in division %s have the number or code %s', hits, $2,
				$1, quote_literal($3)),
			DETAIL = format('Their keys, the newest first: %s%s.', others,
				CASE WHEN hits > 10 THEN '; …' ELSE '' END),
			HINT = format('Use the key of one of them. SELECT * FROM exact.find(%s, %L) shows more '
				'of them.', $1, $3);
	END IF;
	SELECT x.* INTO r FROM exact.record AS x
	WHERE x.division = $1 AND x.entity = $2 AND x.key = taken;
	RAISE NOTICE USING MESSAGE = format('%s %s: the record with the key %s is taken%s', $2,
		btrim($3), r.key, CASE WHEN r.deleted THEN '; it is deleted' ELSE '' END);
	RETURN r;
END
$$;
COMMENT ON FUNCTION exact._record_named(int, text, text)
	IS 'The record of an entity with a key in any case, or else with this number or code, of a '
		'line number of its document/number of the line: then a notice says which was taken. '
		'Null: there is none; raises EX018 when there are several';
REVOKE ALL ON FUNCTION exact._record_named(int, text, text) FROM PUBLIC;
