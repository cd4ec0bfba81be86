/*
 * guc.c - the settings exact_databricks.*: who may set them, units, checks.
 *
 * Settings that name files, hosts or addresses are for superusers and refuse nonsense at once, not
 * at first use.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "base/compat.h"
#include "base/guc.h"
#include "base/peer.h"

/* Hosts of Exact Online's seven regions and the domains of Databricks' clouds */
#define DEFAULT_HOSTS \
	"start.exactonline.nl, start.exactonline.be, start.exactonline.de, start.exactonline.fr, " \
	"start.exactonline.es, start.exactonline.co.uk, start.exactonline.com, " \
	"*.cloud.databricks.com, *.cloud.databricks.us, *.azuredatabricks.net, " \
	"*.databricks.azure.us, *.databricks.azure.cn, *.gcp.databricks.com"

#define FILE_FLAGS (GUC_SUPERUSER_ONLY)

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define MAX_INSTANCE_LEN 63
#define HOUR_S 3600
#define DAY_S 86400
#define TOKEN_LIFE_S 600		/* of an access token of Exact Online */

/* off: workers run but do nothing. */
bool		exact_enabled = true;

/* http:// and loopback hosts are allowed: for simulators, never for a real service. */
bool		exact_insecure_loopback = false;

/* The key ring of credentials; the DBA makes it, the server only reads it. */
char	   *exact_key_file = NULL;

/* Where import_secrets() reads its files. */
char	   *exact_secrets_directory = NULL;

/* Name of this cluster: a physical copy gets another one and so keeps its workers off. */
char	   *exact_instance = NULL;

/*
 * Where outgoing connections may go: entries host, *.suffix, host:port; "/private" behind it allows
 * private addresses. host_policy.c knows the grammar.
 */
char	   *exact_allowed_hosts = NULL;
static bool (*is_host_entry) (const char *entry) = NULL;

/* CA bundle for outgoing TLS; "" = the system's. */
char	   *exact_ca_file = NULL;

/* Per database: where its listener listens, and its address as Exact Online sees it. */
char	   *exact_listen_addresses = NULL;
int			exact_port = 8480;
char	   *exact_public_url = NULL;
char	   *exact_trusted_proxies = NULL;
int			exact_listen_connections = 512;
int			exact_listen_connections_per_address = 128;

int			exact_debounce_ms = 2000;
int			exact_sync_interval_ms = 0;
int			exact_dimension_interval_ms = 3600000;
int			exact_merge_interval_ms = 5000;
int			exact_merge_rows = 5000;
int			exact_merge_tables = 8;
int			exact_merge_bytes = 2 * 1024 * 1024;
int			exact_file_rows = 100000;
int			exact_retention_s = 400 * DAY_S;
int			exact_audit_retention_s = 0;
int			exact_max_disk_mb = 0;
int			exact_live_reserve = 30;
int			exact_refresh_after_s = 570;
int			exact_rule_timeout_ms = 2000;

static bool
check_absolute_path(char **newval, void **extra pg_attribute_unused(),
					GucSource source pg_attribute_unused())
{
	if (**newval == '\0' || **newval == '/')
		return true;
	GUC_check_errdetail("The path must be absolute.");
	return false;
}

/* A slip of the unit is not to cost the evidence of years. */
static bool
check_audit_retention(int *newval, void **extra pg_attribute_unused(),
					  GucSource source pg_attribute_unused())
{
	if (*newval == 0 || *newval >= HOUR_S)
		return true;
	GUC_check_errdetail("Events of the last hour are never removed.");
	GUC_check_errhint("0 keeps all events; else at least 1h, for example 2557d.");
	return false;
}

static bool
check_instance(char **newval, void **extra pg_attribute_unused(),
			   GucSource source pg_attribute_unused())
{
	size_t		len = strlen(*newval);

	if (len <= MAX_INSTANCE_LEN && strspn(*newval, LETTERS DIGITS "._-") == len)
		return true;
	GUC_check_errdetail("At most 63 letters, digits, dots, underscores and hyphens.");
	return false;
}

/* Names the entry that is no host. */
static bool
check_hosts(char **newval, void **extra pg_attribute_unused(),
			GucSource source pg_attribute_unused())
{
	char	   *copy = pstrdup(*newval);
	List	   *entries;
	ListCell   *cell;

	if (!SplitGUCList(copy, ',', &entries))
	{
		GUC_check_errdetail("List syntax is invalid.");
		return false;
	}
	foreach(cell, entries)
	{
		if (!is_host_entry(lfirst(cell)))
		{
			GUC_check_errdetail("\"%s\" is not a host, *.suffix or host:port.",
								(char *) lfirst(cell));
			GUC_check_errhint("Entries look like start.exactonline.nl, *.azuredatabricks.net,"
							  " host:8443 or host/private.");
			return false;
		}
	}
	list_free(entries);
	pfree(copy);
	return true;
}

static bool
check_addresses(char **newval, void **extra pg_attribute_unused(),
				GucSource source pg_attribute_unused())
{
	if (strspn(*newval, DIGITS LETTERS ":.*-, ") == strlen(*newval))
		return true;
	GUC_check_errdetail("A comma-separated list of IP addresses and host names,"
						" or * for all addresses.");
	return false;
}

static bool
check_proxies(char **newval, void **extra pg_attribute_unused(),
			  GucSource source pg_attribute_unused())
{
	ExactNetwork networks[EXACT_MAX_NETWORKS];

	if (exact_peer_networks(*newval, networks) >= 0)
		return true;
	GUC_check_errdetail("A comma-separated list of at most %d IP addresses or networks,"
						" such as 10.0.0.5, 192.168.0.0/16.", EXACT_MAX_NETWORKS);
	return false;
}

static bool
check_public_url(char **newval, void **extra pg_attribute_unused(),
				 GucSource source pg_attribute_unused())
{
	size_t		len = strlen(*newval);

	if (len == 0)
		return true;
	if (strncmp(*newval, "https://", 8) != 0 && strncmp(*newval, "http://", 7) != 0)
	{
		GUC_check_errdetail("It must begin with https://.");
		return false;
	}
	if ((*newval)[len - 1] == '/' || strcspn(*newval, "?#@ \t\r\n\"'<>\\") != len)
	{
		GUC_check_errdetail("Scheme, host, port and path only, without a slash at the end.");
		GUC_check_errhint("For example https://hub.example.com;"
						  " /exact/hook and /exact/callback are added to it.");
		return false;
	}
	return true;
}

static void
define_text(const char *name, const char *what, const char *more, char **variable,
			const char *boot, GucContext context, int flags, GucStringCheckHook check)
{
	DefineCustomStringVariable(name, what, more, variable, boot, context, flags, check,
							   NULL, NULL);
}

static void
define_int(const char *name, const char *what, const char *more, int *variable, int min, int max,
		   int flags)
{
	DefineCustomIntVariable(name, what, more, variable, *variable, min, max, PGC_SIGHUP, flags,
							NULL, NULL, NULL);
}

/*
 * A default is that of the variable where there is one; who may set what is for the contexts to
 * say.
 */
void
exact_guc_init(bool (*host_entry) (const char *entry))
{
	is_host_entry = host_entry;
	define_text("exact_databricks.allowed_hosts",
				"Hosts that outgoing connections may go to.",
				"Entries host, *.suffix or host:port; port 443 unless named."
				" With /private behind it a host may resolve to a private address.",
				&exact_allowed_hosts, DEFAULT_HOSTS, PGC_SIGHUP,
				GUC_SUPERUSER_ONLY | GUC_LIST_INPUT, check_hosts);
	DefineCustomIntVariable("exact_databricks.audit_retention",
							"How long events of the audit log are kept.",
							"0: for good. Never shorter than exact_databricks.retention.",
							&exact_audit_retention_s, exact_audit_retention_s, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, check_audit_retention, NULL, NULL);
	define_text("exact_databricks.ca_file",
				"CA bundle for outgoing TLS.",
				"Unset: the system's.",
				&exact_ca_file, "", PGC_SIGHUP, FILE_FLAGS, check_absolute_path);
	define_int("exact_databricks.debounce",
			   "Wait after a notification before fetching.",
			   NULL, &exact_debounce_ms, 0, 600 * 1000, GUC_UNIT_MS);
	define_int("exact_databricks.dimension_interval",
			   "Time between two searches for edits in the Delta tables of dimensions.",
			   "The hub does not start a stopped warehouse for it.",
			   &exact_dimension_interval_ms, 1000, DAY_S * 1000, GUC_UNIT_MS);
	DefineCustomBoolVariable("exact_databricks.enabled",
							 "Lets the workers fetch and deliver.",
							 "When off, workers run but do nothing.",
							 &exact_enabled, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	define_int("exact_databricks.file_rows",
			   "Maximum of rows per delivery through the workspace's volume.",
			   "The volume is used if more than merge_rows or merge_bytes wait; 0: never.",
			   &exact_file_rows, 0, 1000000, 0);
	DefineCustomBoolVariable("exact_databricks.insecure_loopback",
							 "Allows http:// and loopback hosts for outgoing connections.",
							 "For simulators on this machine only.",
							 &exact_insecure_loopback, false, PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							 NULL, NULL, NULL);
	define_text("exact_databricks.instance",
				"Name of this cluster, which tells a physical copy from the original.",
				NULL,
				&exact_instance, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_instance);
	define_text("exact_databricks.key_file",
				"Key ring for credentials, outside the data directory.",
				"Lines id:64 hex digits; the last one encrypts."
				" Only the server's user may have rights on it.",
				&exact_key_file, "", PGC_SIGHUP, FILE_FLAGS, check_absolute_path);
	define_text("exact_databricks.listen_addresses",
				"Addresses at which this database's listener takes webhooks.",
				"Set it by ALTER DATABASE; unset: no listener.",
				&exact_listen_addresses, "", PGC_SUSET,
				GUC_SUPERUSER_ONLY | GUC_LIST_INPUT, check_addresses);
	define_int("exact_databricks.listen_connections",
			   "Maximum of open connections of a database's listener.",
			   "At the maximum, it closes one of the address that has most.",
			   &exact_listen_connections, 1, 10000, 0);
	define_int("exact_databricks.listen_connections_per_address",
			   "Maximum of open connections per address.",
			   "Proxies in exact_databricks.trusted_proxies are not counted.",
			   &exact_listen_connections_per_address, 1, 10000, 0);
	define_int("exact_databricks.live_reserve",
			   "Percent of each call budget that backfill cannot use.",
			   NULL, &exact_live_reserve, 0, 90, 0);
	define_int("exact_databricks.max_disk",
			   "Disk space that the hub's tables may use.",
			   "At the limit, the hub reads nothing from Exact Online; 0: no limit.",
			   &exact_max_disk_mb, 0, INT_MAX, GUC_UNIT_MB);
	define_int("exact_databricks.merge_bytes",
			   "Maximum of bytes of JSON text per statement.",
			   NULL, &exact_merge_bytes, 64 * 1024, 8 * 1024 * 1024, GUC_UNIT_BYTE);
	define_int("exact_databricks.merge_interval",
			   "Minimum time between two deliveries into one table.",
			   NULL, &exact_merge_interval_ms, 0, DAY_S * 1000, GUC_UNIT_MS);
	define_int("exact_databricks.merge_rows",
			   "A delivery starts as soon as this many rows wait.",
			   "It is also the maximum of rows per statement.", &exact_merge_rows, 1, 100000, 0);
	define_int("exact_databricks.merge_tables",
			   "Maximum of tables of a workspace that are delivered at the same time.",
			   "While at most half as many are, a small delivery runs two statements at a time.",
			   &exact_merge_tables, 1, 100, 0);
	DefineCustomIntVariable("exact_databricks.port",
							"TCP port of this database's listener.",
							"Set it by ALTER DATABASE.",
							&exact_port, exact_port, 1, PG_UINT16_MAX, PGC_SUSET,
							GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	define_text("exact_databricks.public_url",
				"Address of this database's listener as Exact Online sees it.",
				"Set it by ALTER DATABASE."
				" Callback is /exact/hook, redirect is /exact/callback below it.",
				&exact_public_url, "", PGC_SUSET, GUC_SUPERUSER_ONLY, check_public_url);
	define_int("exact_databricks.refresh_after",
			   "Age at which an access token of Exact Online is renewed.",
			   "The service refuses a renewal before 570 s and ends a token at 600 s.",
			   &exact_refresh_after_s, 1, TOKEN_LIFE_S - 1, GUC_UNIT_S);
	define_int("exact_databricks.retention",
			   "How long staged versions, calls, statements and requests are kept.",
			   "Nothing undelivered is ever removed.",
			   &exact_retention_s, HOUR_S, INT_MAX, GUC_UNIT_S);
	define_int("exact_databricks.rule_timeout",
			   "How long a customer's rule may take for one document.",
			   "It is cancelled then, and gives no verdict on that document.",
			   &exact_rule_timeout_ms, 10, 60000, GUC_UNIT_MS);
	define_text("exact_databricks.secrets_directory",
				"Directory whose files exact.import_secrets() reads.",
				"Files are named kind.name.field, for example app.erp.client_secret.",
				&exact_secrets_directory, "", PGC_SIGHUP, FILE_FLAGS, check_absolute_path);
	define_int("exact_databricks.sync_interval",
			   "Time between two runs of a feed.",
			   "0: the entity's default.", &exact_sync_interval_ms, 0, DAY_S * 1000, GUC_UNIT_MS);
	define_text("exact_databricks.trusted_proxies",
				"Proxies whose X-Forwarded-For counts.",
				NULL,
				&exact_trusted_proxies, "", PGC_SIGHUP, GUC_LIST_INPUT, check_proxies);

	MarkGUCPrefixReserved("exact_databricks");
}
