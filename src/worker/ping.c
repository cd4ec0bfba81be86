/*
 * ping.c - the answer to exact.ping(): its rows. Called by ping_exact.c and ping_databricks.c.
 */
#include "postgres.h"

#include "utils/json.h"
#include "utils/memutils.h"

#include "worker/ask.h"
#include "worker/ping.h"

ExactPing *
exact_ping_open(ExactAsk *ask)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "exact ping",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ExactPing  *ping = palloc(sizeof(ExactPing));

	ping->context = context;
	ping->ask = ask;
	initStringInfo(&ping->rows);
	appendStringInfoChar(&ping->rows, '[');
	MemoryContextSwitchTo(old);
	return ping;
}

const char *
exact_ping_finding(const ExactFault *fault)
{
	size_t		len = fault->detail ? strlen(fault->detail) : 0;

	if (len == 0)
		return fault->message;
	if (fault->detail[len - 1] == '.')
		len--;
	return psprintf("%s (%.*s)", fault->message, (int) len, fault->detail);
}

void
exact_ping_add(ExactPing *ping, const char *side, const char *name, bool ok, double ms,
			   const char *finding, const char *next_step)
{
	StringInfo	out = &ping->rows;

	appendStringInfo(out, "%s{\"side\":\"%s\",\"name\":", out->len > 1 ? "," : "", side);
	escape_json(out, name);
	appendStringInfo(out, ",\"ok\":%s,\"latency_ms\":%s,\"finding\":",
					 ok ? "true" : "false", ms >= 0 ? psprintf("%.1f", ms) : "null");
	escape_json(out, finding);
	appendStringInfoString(out, ",\"next_step\":");
	if (next_step != NULL)
		escape_json(out, next_step);
	else
		appendStringInfoString(out, "null");
	appendStringInfoChar(out, '}');
}

void
exact_ping_close(ExactPing *ping)
{
	appendStringInfoChar(&ping->rows, ']');
	exact_ask_answer(ping->ask, ping->rows.data, ping->rows.len);
	MemoryContextDelete(ping->context);
}
