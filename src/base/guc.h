/*
 * guc.h - the settings exact_databricks.*, see guc.c. An unset text is "" and never NULL.
 */
#ifndef EXACT_GUC_H
#define EXACT_GUC_H

#include "postgres.h"

extern bool exact_enabled;
extern bool exact_insecure_loopback;
extern char *exact_key_file;
extern char *exact_secrets_directory;
extern char *exact_instance;
extern char *exact_allowed_hosts;
extern char *exact_ca_file;
extern char *exact_listen_addresses;
extern char *exact_public_url;
extern char *exact_trusted_proxies;
extern int	exact_port;
extern int	exact_listen_connections;
extern int	exact_listen_connections_per_address;
extern int	exact_debounce_ms;
extern int	exact_sync_interval_ms; /* 0 = the entity's default */
extern int	exact_dimension_interval_ms;
extern int	exact_merge_interval_ms;
extern int	exact_merge_rows;
extern int	exact_merge_bytes;
extern int	exact_merge_tables;		/* of a workspace, at the same time */
extern int	exact_file_rows;		/* 0 = no files are put to volumes */
extern int	exact_retention_s;
extern int	exact_audit_retention_s;	/* 0 = events are kept for good */
extern int	exact_max_disk_mb;		/* 0 = no limit */
extern int	exact_live_reserve;		/* percent */
extern int	exact_refresh_after_s;
extern int	exact_rule_timeout_ms;

/*
 * Called by _PG_init. host_entry: is this one entry of allowed_hosts? Given by who knows their
 * grammar (http/host_policy.h), for the check of the setting.
 */
extern void exact_guc_init(bool (*host_entry) (const char *entry));

#endif
