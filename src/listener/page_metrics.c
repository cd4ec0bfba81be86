/*
 * page_metrics.c - numbers for Prometheus, text format 0.0.4.
 *
 * Called by listener.c. Only what has a source: counters of shared memory, which begin anew with
 * the server, counters of exact.counter, which do not, and states of tables. Labels: result,
 * division, app, side, name, role, outcome, kind, op, source; no name of a record.
 */
#include "postgres.h"

#include "base/sql.h"
#include "listener/page_metrics.h"
#include "listener/traffic.h"
#include "worker/unit.h"

#define REFRESH_TOKEN_DAYS 30	/* exact-online.md §2.3 */

static void
family(StringInfo out, const char *name, const char *type, const char *help)
{
	appendStringInfo(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
label(StringInfo out, const char *value)
{
	for (const char *c = value; *c; c++)
	{
		if (*c == '\\' || *c == '"')
			appendStringInfoChar(out, '\\');
		if (*c == '\n')
			appendStringInfoString(out, "\\n");
		else
			appendStringInfoChar(out, *c);
	}
}

/*
 * One family from one statement: its columns are the labels, the last one the value; a null value
 * is left out.
 */
static void
put_rows(StringInfo out, const char *name, const char *type, const char *help, const char *labels,
		 const char *sql)
{
	uint64		n = exact_sql(sql, 0, NULL);
	int			columns = labels[0] ? 2 : 1;

	if (n > 0)
		family(out, name, type, help);
	for (uint64 row = 0; row < n; row++)
	{
		char	   *value = exact_cell_text(row, columns);

		if (value == NULL)
			continue;
		appendStringInfoString(out, name);
		if (columns == 2)
		{
			char	   *text = exact_cell_text(row, 1);

			appendStringInfo(out, "{%s=\"", labels);
			label(out, text ? text : "");
			appendStringInfoString(out, "\"}");
		}
		appendStringInfo(out, " %s\n", value);
	}
}

/* One family with up to two labels: rows of name and value of each (NULL: none), and the value */
static void
put_labels(StringInfo out, const char *name, const char *type, const char *help, const char *sql)
{
	uint64		n = exact_sql(sql, 0, NULL);

	if (n > 0)
		family(out, name, type, help);
	for (uint64 row = 0; row < n; row++)
	{
		appendStringInfo(out, "%s{", name);
		for (int col = 1; col <= 3 && !exact_cell_isnull(row, col); col += 2)
		{
			appendStringInfo(out, "%s%s=\"", col == 1 ? "" : ",", exact_cell_text(row, col));
			label(out, exact_cell_text(row, col + 1));
			appendStringInfoChar(out, '"');
		}
		appendStringInfo(out, "} %s\n", exact_cell_text(row, 5));
	}
}

/* A histogram for each label: rows of label, bound, how many up to it, sum of times, number */
static void
put_histogram(StringInfo out, const char *name, const char *label_name, const char *help,
			  const char *sql)
{
	uint64		n = exact_sql(sql, 0, NULL);

	if (n > 0)
		family(out, name, "histogram", help);
	for (uint64 row = 0; row < n; row++)
	{
		char	   *value = exact_cell_text(row, 1);
		char	   *bound = exact_cell_text(row, 2);
		bool		last = strcmp(bound, "Infinity") == 0;

		appendStringInfo(out, "%s_bucket{%s=\"", name, label_name);
		label(out, value);
		appendStringInfo(out, "\",le=\"%s\"} %s\n", last ? "+Inf" : bound,
						 exact_cell_text(row, 3));
		if (!last)
			continue;
		for (int col = 4; col <= 5; col++)
		{
			appendStringInfo(out, "%s_%s{%s=\"", name, col == 4 ? "sum" : "count", label_name);
			label(out, value);
			appendStringInfo(out, "\"} %s\n",
							 exact_cell_isnull(row, col) ? "0" : exact_cell_text(row, col));
		}
	}
}

/* A gauge of divisions from a column of the last result; a null is left out. */
static void
put_division_column(StringInfo out, const char *name, uint64 n, int column)
{
	for (uint64 row = 0; row < n; row++)
		if (!exact_cell_isnull(row, column))
			appendStringInfo(out, "%s{division=\"%s\"} %s\n", name, exact_cell_text(row, 1),
							 exact_cell_text(row, column));
}

/* From one reading of exact.status, which looks at every feed */
static void
put_divisions(StringInfo out)
{
	static const char sql[] =
	"SELECT division,"
	" CASE light WHEN 'ok' THEN 0 WHEN 'warn' THEN 1 WHEN 'fail' THEN 2 ELSE -1 END,"
	/* an alert on it must not fall silent: nothing in Delta yet is the longest lag there is */
	" coalesce(extract(epoch FROM lag)::text, CASE WHEN light <> 'off' THEN '+Inf' END),"
	" extract(epoch FROM announced)::text, extract(epoch FROM looked)::text, loaded"
	" FROM exact.status"
	" WHERE division IS NOT NULL"
	" ORDER BY division";
	uint64		n = exact_sql(sql, 0, NULL);

	if (n == 0)
		return;
	family(out, "exact_division_light", "gauge", "0 ok, 1 warn, 2 fail, -1 off.");
	put_division_column(out, "exact_division_light", n, 2);
	family(out, "exact_lag_seconds", "gauge",
		   "How far Delta is behind Exact Online; +Inf: nothing is in Delta yet.");
	put_division_column(out, "exact_lag_seconds", n, 3);
	family(out, "exact_announced_lag_seconds", "gauge",
		   "Age of the oldest change that is known and not in Delta; 0: none.");
	put_division_column(out, "exact_announced_lag_seconds", n, 4);
	family(out, "exact_last_full_look_seconds", "gauge",
		   "Time since every entity was last read to the end, by its timer.");
	put_division_column(out, "exact_last_full_look_seconds", n, 5);
	family(out, "exact_first_load_ratio", "gauge",
		   "Share of the enabled entities whose first load is complete.");
	put_division_column(out, "exact_first_load_ratio", n, 6);
}

/* Two families from one reading of exact.services */
static void
put_services(StringInfo out)
{
	static const char sql[] =
	"SELECT side, name, CASE WHEN state IN ('silent', 'token') THEN 0 ELSE 1 END,"
	" CASE WHEN state IN ('silent', 'token')"
	"  THEN greatest(round(extract(epoch FROM now() - since)), 0) ELSE 0 END"
	" FROM exact.services"
	" WHERE light <> 'off' AND asked_at IS NOT NULL";
	uint64		n = exact_sql(sql, 0, NULL);

	for (int col = 3; n > 0 && col <= 4; col++)
	{
		if (col == 3)
			family(out, "exact_service_up", "gauge",
				   "1: its calls get good answers; 0: no good answer for 30 s.");
		else
			family(out, "exact_service_silent_seconds", "gauge",
				   "Time without a good answer to a call; 0: its calls get good answers.");
		for (uint64 row = 0; row < n; row++)
		{
			appendStringInfo(out, "%s{side=\"%s\",name=\"", col == 3 ? "exact_service_up" :
							 "exact_service_silent_seconds", exact_cell_text(row, 1));
			label(out, exact_cell_text(row, 2));
			appendStringInfo(out, "\"} %s\n", exact_cell_text(row, col));
		}
	}
}

/* How long the commits took, as a histogram: each bucket counts those of the smaller ones too. */
static void
put_commits(StringInfo out, const ExactTrafficCopy *traffic)
{
	uint64		sum = 0;

	family(out, "exact_webhook_commit_seconds", "histogram",
		   "Time to store a group of notifications, commit included.");
	for (int i = 0; i < EXACT_TRAFFIC_BUCKETS; i++)
	{
		sum += traffic->buckets[i];
		appendStringInfoString(out, "exact_webhook_commit_seconds_bucket{le=\"");
		if (i < EXACT_TRAFFIC_BUCKETS - 1)
			appendStringInfo(out, "%g", exact_traffic_bounds[i] / 1e6);
		else
			appendStringInfoString(out, "+Inf");
		appendStringInfo(out, "\"} " UINT64_FORMAT "\n", sum);
	}
	appendStringInfo(out, "exact_webhook_commit_seconds_sum %.6f\n",
					 traffic->counts[EXACT_TRAFFIC_COMMIT_US] / 1e6);
	appendStringInfo(out, "exact_webhook_commit_seconds_count " UINT64_FORMAT "\n", sum);
}

/* What the listener counted in shared memory; nothing when there is none of this database */
static void
put_traffic(StringInfo out)
{
	static const struct
	{
		const char *result;
		ExactTrafficCount count;
	}			results[] = {
		{"accepted", EXACT_TRAFFIC_ACCEPTED},
		{"duplicate", EXACT_TRAFFIC_DUPLICATE},
		{"validation", EXACT_TRAFFIC_VALIDATION},
		{"refused", EXACT_TRAFFIC_REFUSED},
		{"unavailable", EXACT_TRAFFIC_UNAVAILABLE},
		{"too_large", EXACT_TRAFFIC_TOO_LARGE},
		{"malformed", EXACT_TRAFFIC_MALFORMED},
	};
	ExactTrafficCopy traffic;

	if (!exact_traffic_read(&traffic))
		return;
	family(out, "exact_webhooks_received_total", "counter",
		   "Notifications by result.");
	for (size_t i = 0; i < lengthof(results); i++)
		appendStringInfo(out, "exact_webhooks_received_total{result=\"%s\"} " UINT64_FORMAT "\n",
						 results[i].result, traffic.counts[results[i].count]);
	put_commits(out, &traffic);
	family(out, "exact_listener_connections", "gauge", "Open connections of the listener.");
	appendStringInfo(out, "exact_listener_connections " UINT64_FORMAT "\n",
					 traffic.counts[EXACT_TRAFFIC_CONNECTIONS]);
	family(out, "exact_listener_closed_total", "counter",
		   "Connections closed by the listener by reason.");
	appendStringInfo(out, "exact_listener_closed_total{reason=\"timeout\"} " UINT64_FORMAT "\n",
					 traffic.counts[EXACT_TRAFFIC_TIMEOUT]);
	appendStringInfo(out, "exact_listener_closed_total{reason=\"limit\"} " UINT64_FORMAT "\n",
					 traffic.counts[EXACT_TRAFFIC_OVER_LIMIT]);
}

/* What exact.counter has, which goes on after a restart; columns: labels and value */
static void
put_counted(StringInfo out)
{
	put_labels(out, "exact_api_calls_total", "counter",
			   "Calls to Exact Online by outcome; division 0: calls without a division.",
			   "SELECT 'division', division, 'outcome', result, n"
			   " FROM exact.counter"
			   " WHERE name = 'call'"
			   " ORDER BY division, result");
	put_labels(out, "exact_statements_total", "counter",
			   "Statements that Databricks ran, by kind and how they ended.",
			   "SELECT 'kind', kind, 'result', result, n"
			   " FROM exact.counter"
			   " WHERE name = 'statement'"
			   " ORDER BY kind, result");
	put_labels(out, "exact_records_staged_total", "counter",
			   "Versions staged: I new, U changed, D deleted.",
			   "SELECT 'op', o.op, NULL, NULL, coalesce(c.n, 0)"
			   " FROM (VALUES ('I'), ('U'), ('D')) AS o (op)"
			   " LEFT JOIN exact.counter AS c ON c.name = 'staged' AND c.kind = o.op");
	put_histogram(out, "exact_end_to_end_seconds", "source",
				  "Time that a change takes to Delta, from its notification or its call.",
				  "SELECT k.kind, b.le, sum(coalesce(x.n, 0)) OVER"
				  "  (PARTITION BY k.kind ORDER BY b.i), c.seconds, coalesce(c.n, 0)"
				  " FROM (VALUES ('announcement'), ('call')) AS k (kind)"
				  " CROSS JOIN unnest(exact._bounds() || 'Infinity'::float8)"
				  "  WITH ORDINALITY AS b (le, i)"
				  " LEFT JOIN exact.counter AS c ON c.name = 'took' AND c.kind = k.kind"
				  " LEFT JOIN LATERAL (SELECT c.buckets[b.i] AS n) AS x ON true"
				  " ORDER BY k.kind, b.i");
	put_histogram(out, "exact_statement_seconds", "kind",
				  "From sending a statement to its end.",
				  "SELECT c.kind, b.le, sum(coalesce(x.n, 0)) OVER"
				  "  (PARTITION BY c.kind ORDER BY b.i), c.seconds, c.n"
				  " FROM exact.counter AS c"
				  " CROSS JOIN unnest(exact._bounds() || 'Infinity'::float8)"
				  "  WITH ORDINALITY AS b (le, i)"
				  " LEFT JOIN LATERAL (SELECT c.buckets[b.i] AS n) AS x ON true"
				  " WHERE c.name = 'statement took'"
				  " ORDER BY c.kind, b.i");
}

static void
put_workers(StringInfo out)
{
	put_rows(out, "exact_up", "gauge", "1: the worker runs and may work.", "role",
			 "SELECT role, CASE WHEN state = 'running' THEN 1 ELSE 0 END FROM exact.workers");
	put_rows(out, "exact_worker_restarts_total", "counter", "Starts of a worker after the first.",
			 "role", "SELECT role, restarts FROM exact.workers WHERE role <> 'launcher'");
}

static void
put_budget(StringInfo out)
{
	put_rows(out, "exact_api_calls_remaining", "gauge", "Calls that a division has left today.",
			 "division", "SELECT division, day_left FROM exact.budget ORDER BY division");
	put_rows(out, "exact_api_calls_remaining_minute", "gauge",
			 "Calls that a division has left in the minute.", "division",
			 "SELECT division, minute_left FROM exact.budget ORDER BY division");
}

static void
put_disk(StringInfo out)
{
	put_rows(out, "exact_disk_bytes", "gauge", "Disk space of the hub's tables.", "",
			 "SELECT bytes FROM exact.disk");
	put_rows(out, "exact_disk_max_bytes", "gauge",
			 "Limit of the disk space of these tables; 0: no limit.", "",
			 "SELECT max_bytes FROM exact.disk");
	put_rows(out, "exact_disk_full", "gauge",
			 "1: the hub reads nothing from Exact Online, because it is at its limit.", "",
			 "SELECT is_full::int FROM exact.disk");
}

/* What was staged and is not in Databricks yet */
static void
put_pending(StringInfo out)
{
	put_rows(out, "exact_pending_batches", "gauge", "Batches staged and not delivered.",
			 "division",
			 "SELECT division, count(*)"
			 " FROM exact.batch"
			 " WHERE delivered_at IS NULL"
			 " GROUP BY division"
			 " ORDER BY division");
	put_rows(out, "exact_pending_records", "gauge", "Versions staged and not delivered.",
			 "division",
			 "SELECT division, sum(rows - delivered_rows)"
			 " FROM exact.batch"
			 " WHERE delivered_at IS NULL"
			 " GROUP BY division"
			 " ORDER BY division");
	put_rows(out, "exact_oldest_pending_seconds", "gauge",
			 "Age of the oldest version that is not delivered.", "division",
			 "SELECT division, round(extract(epoch FROM now() - min(staged_at)), 3)"
			 " FROM exact.batch"
			 " WHERE delivered_at IS NULL AND coalesce(replay, 0) = 0"
			 " GROUP BY division"
			 " ORDER BY division");
}

/* May a division's transaction lines be summed? */
static void
put_ledger(StringInfo out)
{
	put_rows(out, "exact_ledger_known", "gauge",
			 "1: the meaning of LineNumber 0 in transaction lines is known; 0: do not sum them.",
			 "division",
			 "SELECT division, CASE WHEN shape IN ('mixed', 'unknown') THEN 0 ELSE 1 END"
			 " FROM exact.ledger_shape"
			 " ORDER BY division");
	put_rows(out, "exact_ledger_unbalanced_entries", "gauge",
			 "Entries whose transaction lines do not balance.", "division",
			 "SELECT division, neither FROM exact.ledger_shape ORDER BY division");
}

static void
put_dead_letters(StringInfo out)
{
	put_rows(out, "exact_dead_letters", "gauge", "Rows put aside that are not done.", "division",
			 "SELECT division, count(*)"
			 " FROM exact.dead_letter"
			 " WHERE state IN ('dead', 'retry')"
			 " GROUP BY division"
			 " ORDER BY division");
}

static void
put_documents(StringInfo out)
{
	put_rows(out, "exact_documents_held", "gauge", "Documents that a rule holds back.", "division",
			 "SELECT division, count(*)"
			 " FROM exact.judgement"
			 " WHERE state IN ('doubt', 'held')"
			 " GROUP BY division"
			 " ORDER BY division");
	put_rows(out, "exact_documents_marked", "gauge",
			 "Documents in Databricks with _valid = false.", "division",
			 "SELECT division, count(*)"
			 " FROM exact.judgement"
			 " WHERE state IN ('flagged', 'released')"
			 " GROUP BY division"
			 " ORDER BY division");
	put_rows(out, "exact_oldest_held_document_seconds", "gauge",
			 "Age of the document that a rule holds back longest.", "division",
			 "SELECT division, round(extract(epoch FROM now() - min(since)))"
			 " FROM exact.judgement"
			 " WHERE state IN ('doubt', 'held')"
			 " GROUP BY division"
			 " ORDER BY division");
}

static void
put_tokens(StringInfo out)
{
	put_rows(out, "exact_token_expiry_timestamp_seconds", "gauge",
			 "When the access token of an app ends.", "app",
			 "SELECT app, round(extract(epoch FROM expires_at))"
			 " FROM exact._token_end"
			 " ORDER BY app");
	put_rows(out, "exact_refresh_token_expiry_timestamp_seconds", "gauge",
			 "When the authorisation of an app ends if it is not renewed.", "app",
			 "SELECT app, round(extract(epoch FROM issued_at"
			 " + interval '" CppAsString2(REFRESH_TOKEN_DAYS) " days'))"
			 " FROM exact._token_end"
			 " ORDER BY app");
}

static void
metrics_unit(void *arg)
{
	StringInfo	out = arg;

	family(out, "exact_build_info", "gauge", "Version of the library.");
	appendStringInfo(out, "exact_build_info{version=\"%s\"} 1\n", EXACT_VERSION);
	put_workers(out);
	put_traffic(out);
	put_rows(out, "exact_webhooks_waiting", "gauge",
			 "Notifications that the fetcher has not taken.", "",
			 "SELECT count(*) FROM exact.inbox_work WHERE taken_at IS NULL");
	put_divisions(out);
	put_services(out);
	put_counted(out);
	put_budget(out);
	put_disk(out);
	put_pending(out);
	put_dead_letters(out);
	put_documents(out);
	put_ledger(out);
	put_tokens(out);
}

bool
exact_page_metrics(StringInfo out)
{
	return exact_unit_run("metrics", metrics_unit, out, NULL);
}
