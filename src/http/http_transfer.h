/*
 * http_transfer.h - one request and its answer as libcurl sees them. For http_client.c only.
 */
#ifndef EXACT_HTTP_TRANSFER_H
#define EXACT_HTTP_TRANSFER_H

#include "postgres.h"

#include "lib/ilist.h"

#include <curl/curl.h>

#include "http/http_client.h"

typedef enum ExactTransferState
{
	EXACT_TRANSFER_QUEUED,
	EXACT_TRANSFER_ACTIVE,
	EXACT_TRANSFER_FINISHED,	/* done is due */
	EXACT_TRANSFER_CALLING
} ExactTransferState;

struct ExactHttpTransfer
{
	dlist_node	node;
	ExactTransferState state;
	CURL	   *easy;
	struct curl_slist *headers;
	char	   *request_body;
	size_t		request_len;
	bool		borrowed;		/* it is the caller's */
	char	   *data;			/* answer */
	size_t		len;
	size_t		allocated;
	size_t		max_bytes;
	size_t		header_bytes;
	bool		sensitive;
	bool		private_too;
	bool		too_large;
	bool		out_of_memory;
	bool		address_refused;
	bool		begun;			/* the connection stood, the request may have been sent */
	CURLcode	result;
	char	   *refusal;		/* why it was not even tried */
	int64		started_ms;
	int64		ended_ms;
	ExactHttpDone done;
	void	   *arg;
	char		error[CURL_ERROR_SIZE];
};

/*
 * Fills a zeroed transfer for this URL, which was checked. Signals are blocked. False when libcurl
 * or malloc does not give something, which only lack of memory explains.
 */
extern bool exact_http_transfer_prepare(ExactHttpTransfer *t, const ExactHttpRequest *request,
										const char *url);
/* What came of an ended one; lives as long as the transfer. */
extern void exact_http_transfer_answer(ExactHttpTransfer *t, ExactHttpResponse *response);
/* Accepts a half-built one; it is in no list of libcurl. Signals are blocked. */
extern void exact_http_transfer_free(ExactHttpTransfer *t);

#endif
