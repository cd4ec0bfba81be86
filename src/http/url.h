/*
 * url.h - an address checked and normalised, for http_client.c; the rest of url.c is declared in http_client.h.
 */
#ifndef EXACT_URL_H
#define EXACT_URL_H

#include "postgres.h"

/* own: origin of public_url for the hub's call to itself, else NULL */
extern char *exact_url_check(const char *text, const char *own, bool *private_too, char **why);

#endif
