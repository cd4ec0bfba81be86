-- Every object of the extension with its properties: (object, property, value). For catalog.py.
-- The search_path has no schema of the extension, so every name comes out with its schema.
WITH extension AS (
	SELECT e.* FROM pg_extension AS e WHERE e.extname = 'exact_databricks'
), member AS (
	SELECT d.classid, d.objid
	FROM pg_depend AS d
	JOIN extension AS e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
	WHERE d.deptype = 'e'
), relation AS (
	SELECT c.*, c.oid::regclass::text AS name
	FROM pg_class AS c
	JOIN member AS m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
), property (object, property, value) AS (
	SELECT pg_describe_object(m.classid, m.objid, 0), 'comment',
		coalesce(obj_description(m.objid, m.classid::regclass::name), '')
	FROM member AS m
	UNION ALL
	SELECT 'relation ' || r.name, p.property, p.value
	FROM relation AS r
	LEFT JOIN pg_am AS am ON am.oid = r.relam
	LEFT JOIN pg_class AS t ON t.oid = r.reltoastrelid
	LEFT JOIN pg_sequence AS s ON s.seqrelid = r.oid
	CROSS JOIN LATERAL (VALUES
		('kind', r.relkind::text),
		('persistence', r.relpersistence::text),
		('owner', r.relowner::regrole::text),
		('rights', (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(r.relacl) AS a)),
		('access method', am.amname::text),
		('options', (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(r.reloptions) AS o)),
		('options of TOAST', (
			SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(t.reloptions) AS o)),
		('replica identity', r.relreplident::text),
		('row security', concat_ws(' ', r.relrowsecurity, r.relforcerowsecurity)),
		('partition of', (
			SELECT concat_ws(' ', i.inhparent::regclass, pg_get_expr(r.relpartbound, r.oid))
			FROM pg_inherits AS i WHERE i.inhrelid = r.oid)),
		('partitioned by', CASE WHEN r.relkind = 'p' THEN pg_get_partkeydef(r.oid) END),
		('definition', CASE WHEN r.relkind IN ('v', 'm') THEN pg_get_viewdef(r.oid) END),
		('sequence', CASE WHEN r.relkind = 'S' THEN concat_ws(' ', s.seqtypid::regtype, s.seqstart,
			s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle) END),
		('owned by', (
			SELECT format('%s.%I', d.refobjid::regclass, a.attname)
			FROM pg_depend AS d
			JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
			WHERE r.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = r.oid
				AND d.deptype IN ('a', 'i')))
	) AS p (property, value)
	UNION ALL
	-- From 15.20 on the server notes in pg_attver when a column came: no property of it.
	SELECT format('column %s.%I', r.name, a.attname), p.property, p.value
	FROM relation AS r
	JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
	LEFT JOIN pg_attrdef AS d ON d.adrelid = r.oid AND d.adnum = a.attnum
	LEFT JOIN pg_type AS t ON t.oid = a.atttypid
	LEFT JOIN pg_collation AS l ON l.oid = a.attcollation AND a.attcollation <> t.typcollation
	CROSS JOIN LATERAL (VALUES
		('type', format_type(a.atttypid, a.atttypmod)),
		('not null', nullif(a.attnotnull, false)::text),
		('default', pg_get_expr(d.adbin, d.adrelid)),
		('identity', nullif(a.attidentity, '')::text),
		('generated', nullif(a.attgenerated, '')::text),
		('collation', l.collname::text),
		('storage', a.attstorage::text),
		('compression', nullif(a.attcompression, '')::text),
		('statistics', nullif(a.attstattarget, -1)::text),
		('options', (
			SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(a.attoptions) AS o
			WHERE o NOT LIKE 'pg\_attver=%')),
		('rights', (SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM unnest(a.attacl) AS x)),
		('comment', col_description(r.oid, a.attnum))
	) AS p (property, value)
	WHERE r.relkind <> 'S'
	UNION ALL
	SELECT format('constraint %s.%I', r.name, c.conname), p.property, p.value
	FROM relation AS r
	JOIN pg_constraint AS c ON c.conrelid = r.oid
	CROSS JOIN LATERAL (VALUES
		('definition', pg_get_constraintdef(c.oid)),
		('is', concat_ws(' ', c.condeferrable, c.condeferred, c.convalidated, c.conislocal)),
		('comment', obj_description(c.oid, 'pg_constraint'))
	) AS p (property, value)
	UNION ALL
	SELECT format('index %s.%s', r.name, c.relname), p.property, p.value
	FROM relation AS r
	JOIN pg_index AS i ON i.indrelid = r.oid
	JOIN pg_class AS c ON c.oid = i.indexrelid
	CROSS JOIN LATERAL (VALUES
		('definition', pg_get_indexdef(i.indexrelid)),
		('is', concat_ws(' ', i.indisvalid, i.indisready, i.indisclustered, i.indisreplident)),
		('comment', obj_description(i.indexrelid, 'pg_class'))
	) AS p (property, value)
	UNION ALL
	SELECT format('trigger %s.%I', r.name, t.tgname), p.property, p.value
	FROM relation AS r
	JOIN pg_trigger AS t ON t.tgrelid = r.oid AND NOT t.tgisinternal
	CROSS JOIN LATERAL (VALUES
		('definition', pg_get_triggerdef(t.oid)),
		('enabled', t.tgenabled::text),
		('comment', obj_description(t.oid, 'pg_trigger'))
	) AS p (property, value)
	UNION ALL
	SELECT format('rule %s.%I', r.name, w.rulename), p.property, p.value
	FROM relation AS r
	JOIN pg_rewrite AS w ON w.ev_class = r.oid AND w.rulename <> '_RETURN'
	CROSS JOIN LATERAL (VALUES
		('definition', pg_get_ruledef(w.oid)),
		('enabled', w.ev_enabled::text),
		('comment', obj_description(w.oid, 'pg_rewrite'))
	) AS p (property, value)
	UNION ALL
	SELECT format('policy %s.%I', r.name, l.polname), 'definition',
		concat_ws(' ', l.polcmd, l.polpermissive, l.polroles::regrole[],
			pg_get_expr(l.polqual, l.polrelid), pg_get_expr(l.polwithcheck, l.polrelid))
	FROM relation AS r
	JOIN pg_policy AS l ON l.polrelid = r.oid
	UNION ALL
	SELECT format('function %s', f.oid::regprocedure), p.property, p.value
	FROM member AS m
	JOIN pg_proc AS f ON m.classid = 'pg_proc'::regclass AND f.oid = m.objid
	JOIN pg_language AS l ON l.oid = f.prolang
	CROSS JOIN LATERAL (VALUES
		('kind', f.prokind::text),
		('arguments', pg_get_function_arguments(f.oid)),
		('result', pg_get_function_result(f.oid)),
		('language', l.lanname::text),
		('volatility', f.provolatile::text),
		('parallel', f.proparallel::text),
		('strict', nullif(f.proisstrict, false)::text),
		('security definer', nullif(f.prosecdef, false)::text),
		('leakproof', nullif(f.proleakproof, false)::text),
		('cost', concat_ws(' ', f.procost, f.prorows)),
		('support', nullif(f.prosupport::oid, 0)::regproc::text),
		('settings', (SELECT string_agg(o, '; ' ORDER BY o) FROM unnest(f.proconfig) AS o)),
		('owner', f.proowner::regrole::text),
		('rights', (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(f.proacl) AS a)),
		('library', f.probin),
		('source', coalesce(pg_get_function_sqlbody(f.oid), f.prosrc))
	) AS p (property, value)
	UNION ALL
	SELECT 'schema ' || n.nspname, p.property, p.value
	FROM member AS m
	JOIN pg_namespace AS n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid
	CROSS JOIN LATERAL (VALUES
		('owner', n.nspowner::regrole::text),
		('rights', (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(n.nspacl) AS a))
	) AS p (property, value)
	UNION ALL
	SELECT 'event trigger ' || t.evtname, 'definition',
		concat_ws(' ', t.evtevent, t.evttags, t.evtfoid::regprocedure, t.evtenabled)
	FROM member AS m
	JOIN pg_event_trigger AS t ON m.classid = 'pg_event_trigger'::regclass AND t.oid = m.objid
	UNION ALL
	SELECT format('default rights of %s', d.defaclrole::regrole),
		concat_ws(' ', d.defaclnamespace::regnamespace, d.defaclobjtype),
		(SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(d.defaclacl) AS a)
	FROM pg_default_acl AS d
	UNION ALL
	SELECT 'extension', p.property, p.value
	FROM extension AS e
	CROSS JOIN LATERAL (VALUES
		('version', e.extversion),
		('schema', e.extnamespace::regnamespace::text),
		('relocatable', e.extrelocatable::text),
		('requires', (
			SELECT string_agg(x.extname, ', ' ORDER BY x.extname)
			FROM pg_depend AS d
			JOIN pg_extension AS x ON x.oid = d.refobjid
			WHERE d.classid = 'pg_extension'::regclass AND d.objid = e.oid
				AND d.refclassid = 'pg_extension'::regclass)),
		('comment', obj_description(e.oid, 'pg_extension'))
	) AS p (property, value)
	UNION ALL
	SELECT 'extension', format('dumps %s', x.oid::regclass), x.condition
	FROM extension AS e, unnest(e.extconfig, e.extcondition) AS x (oid, condition)
	UNION ALL
	SELECT 'role ' || r.rolname, p.property, p.value
	FROM pg_roles AS r
	CROSS JOIN LATERAL (VALUES
		('is', concat_ws(' ', r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb,
			r.rolcanlogin, r.rolreplication, r.rolbypassrls, r.rolconnlimit)),
		('settings', (SELECT string_agg(o, '; ' ORDER BY o) FROM unnest(r.rolconfig) AS o)),
		('member of', (
			SELECT string_agg(concat_ws(' ', a.roleid::regrole, a.admin_option), ', '
				ORDER BY a.roleid::regrole::text)
			FROM pg_auth_members AS a WHERE a.member = r.oid)),
		('comment', shobj_description(r.oid, 'pg_authid'))
	) AS p (property, value)
	WHERE r.rolname LIKE 'exact\_%'
	UNION ALL
	-- What a dump leaves out is the seed that the extension brings along.
	SELECT 'rows of ' || r.name, 'table', r.name
	FROM relation AS r, extension AS e
	WHERE r.relkind = 'r' AND r.oid <> ALL (e.extconfig)
)
SELECT p.object, p.property, p.value FROM property AS p WHERE p.value IS NOT NULL
