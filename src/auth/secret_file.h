/*
 * secret_file.h - files that hold secrets: the key file, and the rules for every file that secrets
 * are read from.
 */
#ifndef EXACT_SECRET_FILE_H
#define EXACT_SECRET_FILE_H

#include "auth/secret.h"

#define EXACT_KEY_ID_MAX 32

/*
 * Reads a file that only the server may read: regular, no symbolic link, owned by the server's user
 * or root, no rights for others, at most max bytes. dir is an open directory, or AT_FDCWD with an
 * absolute path. On failure NULL with a palloc'd *problem ("is open to others (mode 0644)") and
 * *hint (may be NULL); never the content.
 */
extern ExactSecret *exact_secret_file_read(int dir, const char *path, size_t max, char **problem,
										   char **hint);

/* Is this existing path, links resolved, the data directory or inside it? */
extern bool exact_secret_file_in_data_directory(const char *path);

/*
 * The 32 bytes of the key with this id, or for NULL of the newest one (the last line of the key
 * file); its id is copied to found_id (EXACT_KEY_ID_MAX + 1 bytes, may be id itself). To be freed
 * by the caller. Raises EX003.
 */
extern ExactSecret *exact_secret_file_key(const char *id, char *found_id);

/*
 * What is wrong with the key file, or with the key of this id, as one sentence with *hint; NULL
 * when it is fine. Does not raise for it.
 */
extern char *exact_secret_file_key_problem(const char *id, char **hint);

/* 1 to 32 letters, digits, - or _ */
extern bool exact_secret_file_is_key_id(const char *s, size_t n);

#endif
