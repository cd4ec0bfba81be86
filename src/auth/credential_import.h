/*
 * credential_import.h - secrets from files: exact.import_secrets() as the fetcher runs it.
 */
#ifndef EXACT_CREDENTIAL_IMPORT_H
#define EXACT_CREDENTIAL_IMPORT_H

/*
 * Reads the files <kind>.<name>.<field> of exact_databricks.secrets_directory and stores what is
 * new, each in its own unit, so in a worker and outside a unit. Returns palloc'd JSON: an array of
 * {"kind","name","field","result"}, or, when the directory cannot be used, one object
 * {"sqlstate","message","detail","hint"}.
 */
extern char *exact_credential_import(void);

#endif
