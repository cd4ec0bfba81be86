/*
 * http_request.c - may this request be served? What a strict reader of RFC 9112 finds in the head
 * of a request.
 *
 * libmicrohttpd 0.9.75 forgives much (bare LF, folded lines, several lengths, both lengths, blanks
 * before a colon) that a proxy in front may read differently. Called by http_server.c for each
 * request before anything else. Reads hostile bytes.
 */
#include "http/http_request.h"

/* The statuses with which a request is refused here */
#define OK 0
#define BAD_REQUEST 400
#define HEAD_TOO_LARGE 431
#define NOT_IMPLEMENTED 501

static bool
is_word(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && pg_strncasecmp(text, word, len) == 0;
}

static bool
is_named(const ExactHeader *header, const char *name)
{
	return is_word(header->name, header->name_len, name);
}

/* tchar of RFC 9110 */
static bool
is_token(const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		char		c = word[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			  (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL)))
			return false;
	}
	return len > 0;
}

static bool
is_target(const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if ((uint8) word[i] <= 0x20 || (uint8) word[i] >= 0x7f)
			return false;
	}
	return len > 0 && word[0] == '/';
}

static bool
is_value(const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (((uint8) word[i] < 0x20 && word[i] != '\t') || word[i] == 0x7f)
			return false;
	}
	return true;
}

/* Digits and no blank behind them; a number that no body of ours can have becomes UINT64_MAX. */
static bool
read_length(const ExactHeader *header, uint64 *out)
{
	uint64		length = 0;

	if (header->blanks > 0)
		return false;
	for (size_t i = 0; i < header->value_len; i++)
	{
		if (header->value[i] < '0' || header->value[i] > '9')
			return false;
		if (length < PG_UINT32_MAX)
			length = length * 10 + (header->value[i] - '0');
	}
	*out = length < PG_UINT32_MAX ? length : PG_UINT64_MAX;
	return header->value_len > 0;
}

/* Did every byte on the wire become part of something that is understood? */
static bool
adds_up(const ExactHead *head)
{
	size_t		sum = head->method_len + 1 + head->target_len + 1 + strlen(head->version) + 2;

	for (int i = 0; i < head->nheaders; i++)
	{
		const ExactHeader *header = &head->headers[i];
		size_t		offset = (uintptr_t) header->value - (uintptr_t) header->name;

		if (offset <= header->name_len || offset > EXACT_HEAD_MAX)
			return false;
		sum += offset + header->value_len + header->blanks + 2;
	}
	return sum + 2 == head->size;
}

static void
join_forwarded(ExactHead *head, const ExactHeader *header)
{
	size_t		have = strlen(head->forwarded_for);

	if (have + 1 + header->value_len > EXACT_HEAD_MAX)
		return;
	if (have > 0)
		head->forwarded_for[have++] = ',';
	memcpy(head->forwarded_for + have, header->value, header->value_len);
	head->forwarded_for[have + header->value_len] = '\0';
}

/* The headers that occur, each at most once where two would be read in two ways */
typedef struct Seen
{
	bool		modern;			/* HTTP/1.1 */
	int			hosts;
	int			lengths;
	int			codings;
} Seen;

static void
forget_found(ExactHead *head)
{
	head->path_len = 0;
	head->chunked = false;
	head->content_length = 0;
	head->authorization = NULL;
	head->forwarded_for[0] = '\0';
}

/* Takes what one header says; OK, or the status that refuses it. */
static int
take_one(ExactHead *head, const ExactHeader *header, Seen *seen)
{
	if (!is_token(header->name, header->name_len) || !is_value(header->value, header->value_len))
		return BAD_REQUEST;
	if (is_named(header, "Content-Length"))
	{
		if (seen->lengths++ > 0 || !read_length(header, &head->content_length))
			return BAD_REQUEST;
	}
	else if (is_named(header, "Transfer-Encoding"))
	{
		if (seen->codings++ > 0 || !seen->modern)
			return BAD_REQUEST;
		head->chunked = header->blanks == 0 &&
			is_word(header->value, header->value_len, "chunked");
		if (!head->chunked)
			return NOT_IMPLEMENTED;
	}
	else if (is_named(header, "Host"))
		seen->hosts++;
	else if (is_named(header, "Authorization"))
		head->authorization = header;
	else if (is_named(header, "X-Forwarded-For"))
		join_forwarded(head, header);
	return OK;
}

/*
 * First the sum of the bytes, then each header, then what headers may not occur together or twice.
 */
int
exact_request_check(ExactHead *head)
{
	Seen		seen = {.modern = strcmp(head->version, "HTTP/1.1") == 0};

	forget_found(head);
	if (head->size > EXACT_HEAD_MAX)
		return HEAD_TOO_LARGE;
	if ((!seen.modern && strcmp(head->version, "HTTP/1.0") != 0) ||
		!is_token(head->method, head->method_len) ||
		!is_target(head->target, head->target_len) || !adds_up(head))
		return BAD_REQUEST;

	for (int i = 0; i < head->nheaders; i++)
	{
		int			status = take_one(head, &head->headers[i], &seen);

		if (status != OK)
			return status;
	}
	if (seen.hosts > 1 || (seen.modern && seen.hosts == 0) ||
		(seen.codings > 0 && seen.lengths > 0))
		return BAD_REQUEST;
	while (head->path_len < head->target_len && head->target[head->path_len] != '?')
		head->path_len++;
	return OK;
}
