# Makes the rows of exact.catalogue and exact.catalogue_field. Input in this order: mapping.tsv, entities.tsv, fields.tsv.
# Any contradiction between the three files ends the run with a message and no usable output.

function fail(text) { print "catalogue: " text > "/dev/stderr"; failed = 1; exit 1 }
function quote(text) { gsub(/'/, "''", text); return "'" text "'" }
function topics_of(path,    list) { list = index(key[path], "+") ? "" : topic[path]; gsub(/\|/, ",", list); return list == "" ? "NULL" : quote("{" list "}") }
function nullable(text) { return text == "" ? "NULL" : quote(text) }
function bool(value) { return value ? "true" : "false" }
function presets_of(path,    list, i, n, parts) {
	list = E[path, "presets"]
	if (status[path] == "current" && kind[path] != "read" && !personnel_of(path))
		list = list (list == "" ? "" : ",") "all"
	n = split(list, parts, ",")
	list = ""
	for (i = 1; i <= n; i++)
		list = list (i > 1 ? "," : "") quote(parts[i])
	return "ARRAY[" list "]::text[]"
}
function personnel_of(path,    i) {
	for (i = 1; i <= personnel_count; i++)
		if (personnel_how[i] == "scope" ? index(scope[path], personnel[i]) == 1 : index(path, personnel[i]) == 1)
			return 1
	return 0
}
# The set that is read for an entity: its own path, or its sync twin's.
function read_path(path) { return twin[path] != "" ? twin[path] : path }
function method_of(path) {
	if (E[path, "method"] != "")
		return E[path, "method"]
	if (twin[path] != "" || kind[path] == "sync")
		return "sync"
	return modified[path] ? "modified" : "full"
}
function interval_of(path, method) {
	if (E[path, "interval"] != "")
		return E[path, "interval"]
	return method == "full" ? "1 day" : method == "expanded" ? "4 hours" : "1 hour"
}
# header and lines in one set of rows, or in one expanded answer
function together(path) {
	return (path in header_of || path in line_of) && \
		(method_of(path) == "expanded" || read_path(path) == read_path(path in header_of ? header_of[path] : line_of[path]))
}
function field_rule(path, name, attribute) {
	return (path, name, attribute) in F ? F[path, name, attribute] : F["*", name, attribute]
}
function matches(what, name,    i) {
	for (i = 1; i <= pattern_count; i++)
		if (pattern_what[i] == what && name ~ pattern[i])
			return 1
	return 0
}
function class_of(name,    i) {
	for (i = 1; i <= pattern_count; i++)
		if (pattern_what[i] != "padded" && name ~ pattern[i])
			return pattern_what[i]
	return "quantity"
}
# The key field whose joined text this is; "" = unknown key, "-" = not a joined text.
function key_of_text(path, name,    stem, i, n, tries) {
	if (field_rule(path, name, "own") != "" || !match(name, /(Description|FullName|Name|Subject)$/))
		return "-"
	stem = name
	if (!sub(/FullName$/, "", stem))
		sub(/(Description|Name|Subject)$/, "", stem)
	if (stem == "" || stem == "Extra")
		return "-"
	tries = stem "\t" stem "Code\t" stem "ID"
	if (stem ~ /Person$/)
		tries = tries "\t" substr(stem, 1, length(stem) - 6)
	n = split(tolower(tries), try, "\t")
	for (i = 1; i <= n; i++)
		if ((path, try[i]) in column && type[path, column[path, try[i]]] ~ /^Edm\./ && type[path, column[path, try[i]]] != "Edm.Binary")
			return column[path, try[i]]
	return name ~ /(Description|FullName)$/ ? "" : "-"
}
function target_type(edm, class, is_date) {
	if (edm == "" || edm == "Edm.String" || edm == "Edm.Guid") return "STRING"
	if (edm == "Edm.Int64") return "BIGINT"
	if (edm == "Edm.Int32" || edm == "Edm.Int16" || edm == "Edm.Byte") return "INT"
	if (edm == "Edm.Boolean") return "BOOLEAN"
	if (edm == "Edm.DateTime") return is_date ? "DATE" : "TIMESTAMP_NTZ"
	if (edm == "Edm.Double") return class == "amount" ? "DECIMAL(28,4)" : "DECIMAL(28,10)"
	return ""
}
function take_name(path, name) {
	if (name in owner)
		return 0
	owner[name] = path
	entity_name[path] = name
	return 1
}

FNR == 1 { file++ }

file == 1 {
	if ($0 ~ /^#/ || $0 == "")
		next
	if ($1 == "entity") { E[$2, $3] = $4; named[$2] = 1 }
	else if ($1 == "document") { line_of[$2] = $3; header_of[$3] = $2; parent[$3] = $4; named[$2] = named[$3] = 1 }
	else if ($1 == "field") { split($4, pair, "="); F[$2, $3, pair[1]] = pair[2]; if ($2 != "*") named[$2] = 1 }
	else if ($1 == "personnel") { personnel[++personnel_count] = $2; personnel_how[personnel_count] = $3 }
	else if ($1 == "pattern") { pattern[++pattern_count] = $3; pattern_what[pattern_count] = $2 }
	else fail("mapping.tsv line " FNR ": unknown kind of row " $1)
	next
}

file == 2 {
	if (FNR == 1)
		next
	path = $1 "/" $2
	order[++count] = path
	known[path] = 1
	service[path] = tolower($1)
	resource[path] = $2
	address[path] = $3
	key[path] = E[path, "key"] != "" ? E[path, "key"] : $4 == "Timestamp" ? "ID" : $4
	twin[path] = E[path, "sync"] == "none" ? "" : $5
	if (twin[path] != "")
		has_plain[twin[path]] = 1
	topic[path] = $6
	modified[path] = $7
	delete_code[path] = $8
	kind[path] = $9
	status[path] = $10
	scope[path] = $11
	next
}

file == 3 {
	if (FNR == 1)
		next
	path = $1 "/" $2
	type[path, $3] = $4
	column[path, tolower($3)] = $3
	fields[path] = fields[path] "\t" $3
	next
}

END {
	if (failed)
		exit 1
	for (path in named)
		if (!(path in known))
			fail("mapping.tsv names " path ", which entities.tsv does not have")

	# names: given ones first, then sets with a sync twin or a topic, then the order of the file
	for (i = 1; i <= count; i++)
		if (E[order[i], "name"] != "" && !take_name(order[i], E[order[i], "name"]))
			fail("two entities are named " E[order[i], "name"])
	for (pass = 1; pass <= 2; pass++)
		for (i = 1; i <= count; i++) {
			path = order[i]
			if (path in entity_name || E[path, "skip"] != "" || path in has_plain || (pass == 1 && twin[path] == "" && topic[path] == ""))
				continue
			if (!take_name(path, tolower(resource[path]))) {
				name = service[path] "_" tolower(resource[path])
				sub(/^(sync|read)\//, "", name)
				gsub(/\//, "_", name)
				if (!take_name(path, name))
					fail("no free name for " path)
			}
		}

	print "-- Made by install/catalogue/build.sh from entities.tsv, fields.tsv and mapping.tsv."
	print "INSERT INTO exact.catalogue (entity, resource, method, plain_resource, feed, row_kind, key_field, parent_field, plain_key,"
	print "\tentity_type, topics, scope, merge_rank, sync_interval, presets, has_division, personnel, unavailable, trigger_entity, trigger_types) VALUES"
	rows = 0
	for (i = 1; i <= count; i++) {
		path = order[i]
		if (!(path in entity_name))
			continue
		method = method_of(path)
		set = method == "sync" ? read_path(path) : path
		if (!(set in known) && !(set in fields))
			fail(path ": no fields of " set)
		combined = together(path)
		row_kind = !combined ? "" : path in line_of ? "header" : "line"
		feed = entity_name[combined && path in header_of ? header_of[path] : path]
		rank = E[path, "rank"] != "" ? E[path, "rank"] : path in line_of ? 1 : path in header_of ? 2 : 0
		parent_field = path in parent ? parent[path] : E[path, "parent"]
		plain = kind[path] == "sync" || index(key[path], "+") ? "" : path     # a key of several fields is not asked for
		unavailable = E[path, "unavailable"]
		if (unavailable == "" && address[path] != path)
			unavailable = "its address is not below the division (beta or retired)"
		if (unavailable == "" && key[path] == "")
			unavailable = "it has no key"
		if (!index(key[path], "+") && key[path] != "" && !((set, tolower(key[path])) in column))
			fail(path ": key " key[path] " is no field of " set)
		if (parent_field != "" && !((set, tolower(parent_field)) in column))
			fail(path ": parent " parent_field " is no field of " set)
		rows++
		printf "%s(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)", (rows > 1 ? ",\n" : ""), \
			quote(entity_name[path]), quote(method == "sync" ? set : address[path]), quote(method), nullable(plain), quote(feed), nullable(row_kind), \
			nullable(key[path]), nullable(parent_field), plain == "" ? "NULL" : nullable(key[path]), \
			delete_code[set] == "" ? "NULL" : delete_code[set], topics_of(path), nullable(scope[path]), rank, \
			quote(interval_of(path, method)), presets_of(path), bool((set, "division") in column), bool(personnel_of(path)), nullable(unavailable), \
			E[path, "trigger"] == "" ? "NULL" : quote(entity_name[E[path, "trigger"]]), \
			E[path, "trigger_types"] == "" ? "NULL" : quote("{" E[path, "trigger_types"] "}")
		listed[++listed_count] = path
	}
	print ";\n"

	print "INSERT INTO exact.catalogue_field (entity, name, ordinal, source_field, edm_type, target_type, derived, derived_from, class,"
	print "\tdate_only, padded, hashed, key)"
	print "SELECT f[1], f[2], f[3]::int, f[4], nullif(f[5], ''), nullif(f[6], ''), f[9] LIKE '%d%', nullif(f[7], ''), nullif(f[8], ''),"
	print "\tf[9] LIKE '%D%', f[9] LIKE '%p%', f[9] LIKE '%h%', f[9] LIKE '%k%'"
	print "FROM pg_catalog.string_to_table($rows$"
	for (i = 1; i <= listed_count; i++) {
		path = listed[i]
		set = method_of(path) == "sync" ? read_path(path) : path
		split_set = together(path) && set != path
		n = split(substr(fields[set], 2), list, "\t")
		ordinal = 0
		for (j = 1; j <= n; j++) {
			source = list[j]
			name = source
			if (source == "Timestamp")
				continue
			if (split_set) {
				# a row of a combined set has the fields of both kinds: keep this kind's, under the plain name
				name = ""
				if ((path, tolower(source)) in column && F[path, column[path, tolower(source)], "source"] == "")
					name = column[path, tolower(source)]
				for (r in F) {
					split(r, part, SUBSEP)
					if (part[1] == path && part[3] == "source" && F[r] == source)
						name = part[2]
				}
				if (name == "" && F[path, source, "extra"] == "sync")
					name = source
				if (name == "" && source == key[path])
					name = source
				if (name == "")
					continue
			}
			else if (set != path && (path, tolower(source)) in column)
				name = column[path, tolower(source)]
			edm = name != source && (path, name) in type ? type[path, name] : type[set, source]
			# the key of a joined text is looked for among the names of this entity
			from = key_of_text(split_set ? path : set, name)
			derived = from != "-"
			class = edm == "Edm.Double" ? class_of(name) : ""
			is_date = edm == "Edm.DateTime" && (field_rule(path, name, "date") == "yes" || \
				(field_rule(path, name, "date") == "" && field_rule(set, name, "date") == "yes"))
			target = target_type(edm, class, is_date)
			padded = edm == "Edm.String" && (field_rule(path, name, "padded") != "" || matches("padded", name))
			hashed = !derived && edm !~ /^Collection/ && (edm == "" || edm ~ /^Edm\./)
			print entity_name[path] "\t" name "\t" (++ordinal) "\t" source "\t" edm "\t" target "\t" (derived ? from : "") "\t" class "\t" \
				(derived ? "d" : "") (is_date ? "D" : "") (padded ? "p" : "") (hashed ? "h" : "") (source == key[path] ? "k" : "")
		}
		if (E[path, "row"] != "")
			print entity_name[path] "\t_row\t" (++ordinal) "\t" E[path, "row"] "\t\tSTRING\t\t\t"
	}
	print "$rows$, E'\\n') AS line, LATERAL pg_catalog.string_to_array(line, E'\\t') AS f WHERE line <> '';"
}
