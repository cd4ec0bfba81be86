-- Readers who see some divisions only. Off until exact.restrict_reader() is called: no table has a
-- row policy then.
--
-- The tables with a division get a policy; the views are owned by exact_view, which is nobody and
-- stands under the same policy, so that they show what the tables show. Who asks is told by the
-- role that logged in and the one of SET ROLE together: to become exact_reader frees nobody.

CREATE TABLE exact.restricted_reader (
	role regrole PRIMARY KEY,
	divisions int[] NOT NULL
);
COMMENT ON TABLE exact.restricted_reader
	IS 'Roles whose members see some divisions only; exact.restrict_reader() writes it';
COMMENT ON COLUMN exact.restricted_reader.role IS 'Role; its members are restricted with it';
COMMENT ON COLUMN exact.restricted_reader.divisions IS 'The divisions that they see';
REVOKE ALL ON TABLE exact.restricted_reader FROM PUBLIC;
GRANT SELECT ON TABLE exact.restricted_reader TO exact_reader;
SELECT pg_catalog.pg_extension_config_dump('exact.restricted_reader', '');

CREATE FUNCTION exact._visible_divisions() RETURNS int[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN count(r.role) > 0
		THEN coalesce(array_agg(DISTINCT d.division) FILTER (WHERE d.division IS NOT NULL), '{}')
	END
	FROM pg_roles AS u
	JOIN exact.restricted_reader AS r ON pg_has_role(u.oid, r.role::oid, 'MEMBER')
	LEFT JOIN LATERAL unnest(r.divisions) AS d (division) ON true
	WHERE u.rolname IN (session_user, exact._caller())
		AND NOT u.rolsuper
		AND NOT pg_has_role(u.oid, 'exact_admin', 'MEMBER')
$$;
COMMENT ON FUNCTION exact._visible_divisions()
	IS 'Divisions that the caller may see: those of all restrictions that the role which logged in '
		'and the one of SET ROLE are members of; null: all';
REVOKE ALL ON FUNCTION exact._visible_divisions() FROM PUBLIC;

-- Whoever reads a table or view with a policy runs it, the processes that read views among them.
DO $grant$
DECLARE
	role text;
BEGIN
	FOR role IN
		SELECT rolname FROM pg_catalog.pg_roles
		WHERE rolname IN ('exact_reader', 'exact_worker', 'exact_listener', 'exact_rule')
	LOOP
		EXECUTE pg_catalog.format(
			'GRANT EXECUTE ON FUNCTION exact._visible_divisions() TO %I', role);
	END LOOP;
END
$grant$;

CREATE FUNCTION exact._require_visible(division int) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	visible int[] := exact._visible_divisions();
BEGIN
	IF visible IS NULL OR $1 = ANY (visible) THEN
		RETURN;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
		MESSAGE = format('role %I may not see %s', session_user,
			coalesce('division ' || $1, 'all divisions')),
		DETAIL = format('Its divisions are: %s.',
			coalesce(nullif(array_to_string(visible, ', '), ''), 'none')),
		HINT = 'SELECT exact.restrict_reader(role, divisions) as exact_admin gives it others.';
END
$$;
COMMENT ON FUNCTION exact._require_visible(int)
	IS 'Raises 42501 when the caller is restricted to other divisions; null: to any';
REVOKE ALL ON FUNCTION exact._require_visible(int) FROM PUBLIC;

CREATE FUNCTION exact._set_row_policies(wanted boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tab regclass;
	policy name;
	roles text := 'exact_reader, exact_view';
BEGIN
	SELECT concat_ws(', ', roles, string_agg(r.role::text, ', ')) INTO roles
	FROM exact.restricted_reader AS r
	WHERE EXISTS (SELECT FROM pg_roles AS p WHERE p.oid = r.role::oid);
	FOR tab IN
		SELECT c.oid::regclass
		FROM pg_class AS c
		JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'division'
			AND NOT a.attisdropped
		WHERE c.relnamespace = 'exact'::regnamespace
			AND c.relkind IN ('r', 'p')
			AND NOT c.relispartition
		ORDER BY c.relname
	LOOP
		FOR policy IN SELECT p.polname FROM pg_policy AS p
			WHERE p.polrelid = tab AND p.polname IN ('exact_everyone', 'exact_restricted')
		LOOP
			EXECUTE format('DROP POLICY %I ON %s', policy, tab);
		END LOOP;
		IF NOT wanted THEN
			EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', tab);
			CONTINUE;
		END IF;
		EXECUTE format('CREATE POLICY exact_everyone ON %s USING (true) WITH CHECK (true)', tab);
		EXECUTE format('CREATE POLICY exact_restricted ON %s AS RESTRICTIVE FOR SELECT TO %s USING '
			'((SELECT exact._visible_divisions() IS NULL) '
			'OR division = ANY ((SELECT exact._visible_divisions())::int[]))', tab, roles);
		EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tab);
	END LOOP;
END
$$;
COMMENT ON FUNCTION exact._set_row_policies(boolean)
	IS 'Makes the row policies of all tables with a division anew, or takes them away';
REVOKE ALL ON FUNCTION exact._set_row_policies(boolean) FROM PUBLIC;

CREATE FUNCTION exact.restrict_reader(role text, divisions int[]) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name name;
	known regrole;
	finding text;
	hint text;
BEGIN
	SELECT r.rolname, r.oid INTO name, known FROM pg_roles AS r WHERE r.rolname = $1;
	IF known IS NULL THEN
		finding := format('role %s does not exist', quote_nullable($1));
		hint := 'CREATE ROLE … IN ROLE exact_reader.';
	ELSIF $2 IS NULL THEN
		NULL;
	ELSIF name ~ '^exact_' OR pg_has_role(known::oid, 'exact_operator', 'MEMBER') THEN
		finding := format('role %I cannot be restricted', name);
		hint := 'Verbs act on every division: restrict a role of your own that is a member of '
			'exact_reader, and not of exact_operator.';
	ELSIF array_position($2, NULL) IS NOT NULL THEN
		finding := 'a division must not be null';
		hint := 'To lift a restriction: SELECT exact.restrict_reader(role, NULL).';
	END IF;
	IF finding IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'EX021', MESSAGE = finding, HINT = hint;
	END IF;
	PERFORM exact._quiesce();	-- the tables are locked one after the other
	IF $2 IS NULL THEN
		DELETE FROM exact.restricted_reader AS r WHERE r.role = known;
	ELSE
		INSERT INTO exact.restricted_reader AS r (role, divisions)
		VALUES (known, ARRAY(SELECT DISTINCT d FROM unnest($2) AS d ORDER BY d))
		ON CONFLICT ON CONSTRAINT restricted_reader_pkey
		DO UPDATE SET divisions = excluded.divisions;
	END IF;
	PERFORM exact._set_row_policies(EXISTS (SELECT FROM exact.restricted_reader));
	RETURN CASE
		WHEN $2 IS NULL THEN format('%I sees every division', name)
		WHEN cardinality($2) = 0 THEN format('%I sees no division', name)
		ELSE format('%I sees these divisions only: %s', name, array_to_string($2, ', '))
	END;
END
$$;
COMMENT ON FUNCTION exact.restrict_reader(text, int[])
	IS 'Lets a role and its members see rows of these divisions only, in every table and view that '
		'has a division; null: of all. Rows without a division are hidden from them. Others, '
		'exact_admin and the workers see everything. The workers stand still for the moment';
REVOKE ALL ON FUNCTION exact.restrict_reader(text, int[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.restrict_reader(text, int[]) TO exact_admin;

-- A dump of a database leaves out the policies of an extension's tables.
CREATE FUNCTION exact._restrict_restored() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF exact._restoring() AND EXISTS (SELECT FROM exact.restricted_reader) THEN
		-- Of rows that came in the same transaction triggers may wait, which then no table may be
		-- altered for.
		SET CONSTRAINTS ALL IMMEDIATE;
		PERFORM exact._set_row_policies(true);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION exact._restrict_restored()
	IS 'Trigger: a dump that is loaded brings the restrictions of readers, and with them policies';
REVOKE ALL ON FUNCTION exact._restrict_restored() FROM PUBLIC;
CREATE TRIGGER restrict_restored AFTER INSERT ON exact.restricted_reader
	FOR EACH STATEMENT EXECUTE FUNCTION exact._restrict_restored();
COMMENT ON TRIGGER restrict_restored ON exact.restricted_reader
	IS 'Makes the row policies anew while a dump is loaded';
