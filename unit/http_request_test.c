/*
 * http_request_test.c - http_request.c alone: heads that a lenient reader has split into lines, as
 * libmicrohttpd does.
 */
#include "frontend.h"

#include "http/http_request.c"
#include "base/peer.c"

#include "check.h"

static ExactHead head;

/*
 * Splits as leniently as can be: a line ends with CR LF or a bare LF or CR, the value begins behind
 * the colon and blanks and ends before such. What became of it is for exact_request_check to find.
 */
static int
check_bytes(const char *bytes, size_t len)
{
	static char copy[65536];
	char	   *p = copy;
	char	   *end = copy + len;
	char	   *blank;
	char	   *line_end;

	memcpy(copy, bytes, len);
	copy[len] = '\0';
	memset(&head, 'x', sizeof(head));
	head.nheaders = 0;
	line_end = strpbrk(p, "\r\n");
	head.size = len;
	head.method = p;
	blank = strchr(p, ' ');
	if (blank == NULL || line_end == NULL || blank > line_end)
		return -1;
	*blank = '\0';
	head.method_len = strlen(p);
	head.target = p = blank + 1;
	*line_end = '\0';
	blank = strrchr(p, ' ');
	if (blank == NULL)
		return -1;
	*blank = '\0';
	head.target_len = strlen(p);
	head.version = blank + 1;
	p = line_end + 1;
	if (*p == '\n')
		p++;
	while (p < end && *p != '\r' && *p != '\n')
	{
		ExactHeader *header = &head.headers[head.nheaders];
		char	   *colon = strchr(p, ':');
		char	   *value;

		line_end = strpbrk(p, "\r\n");
		if (colon == NULL || line_end == NULL || colon > line_end ||
			head.nheaders == EXACT_HEADERS_MAX)
			return -1;
		*line_end = '\0';
		value = colon + 1;
		while (*value == ' ' || *value == '\t')
			value++;
		header->name = p;
		header->name_len = colon - p;
		header->value = value;
		header->value_len = strlen(value);
		header->blanks = 0;
		while (header->value_len > 0 && strchr(" \t", value[header->value_len - 1]))
		{
			header->value_len--;
			header->blanks++;
		}
		head.nheaders++;
		p = line_end + 1;
		if (*p == '\n')
			p++;
	}
	return exact_request_check(&head);
}

static int
check_text(const char *bytes)
{
	return check_bytes(bytes, strlen(bytes));
}

int
main(void)
{
	static char large[20000];

	CHECK(check_text("GET /status HTTP/1.1\r\nHost: x\r\n\r\n") == 0);
	CHECK(head.path_len == 7 && !head.chunked && head.content_length == 0);
	CHECK(check_text("GET /exact/callback?code=a?b&c HTTP/1.1\r\nHost: x\r\n\r\n") == 0 &&
		  head.path_len == 15);
	CHECK(check_text("POST /exact/hook HTTP/1.1\r\nHost:x\r\nContent-Length:\t 12\r\n\r\n") == 0 &&
		  head.content_length == 12);
	CHECK(check_text("POST /a HTTP/1.1\r\nHost: x\r\ntransfer-encoding: Chunked\r\n\r\n") == 0 &&
		  head.chunked);
	CHECK(check_text("GET / HTTP/1.0\r\n\r\n") == 0);
	CHECK(check_text("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: "
					 "99999999999999999999999999\r\n\r\n") == 0 &&
		  head.content_length == PG_UINT64_MAX);
	CHECK(check_text("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n") == 0 &&
		  head.authorization != NULL);
	CHECK(check_text("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: a\r\nx-forwarded-for: "
					 "b\r\n\r\n") == 0 &&
		  strcmp(head.forwarded_for, "a,b") == 0);
	CHECK(check_text("GET / HTTP/1.1\r\nHost: x\r\nX: \xc3\xa9\r\n\r\n") == 0);
	CHECK(check_text("GET / HTTP/1.1\r\nHost: x \t\r\nAuthorization: Bearer  \r\n\r\n") == 0 &&
		  head.authorization->value_len == 6);

	CHECK(check_text("GET / HTTP/1.1\r\nHost: x\r\nAZaz09-!#$%&'*+.^_`|~: y\r\n\r\n") == 0);
	CHECK(check_text("GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n") == 400);
	CHECK(check_text("GET  HTTP/1.1\r\nHost: x\r\n\r\n") == 400);

	/* what was split leniently does not add up */
	CHECK(check_text("GET / HTTP/1.1\nHost: x\r\n\r\n") == 400);
	CHECK(check_text("GET / HTTP/1.1\r\nHost: x\n\r\n") == 400);
	CHECK(check_text("GET / HTTP/1.1\r\nHost: x\r\n\n") == 400);
	CHECK(check_text("GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n") == 400);
	CHECK(check_text("GET  / HTTP/1.1\r\nHost: x\r\n\r\n") == 400);
	CHECK(check_text("GET / HTTP/1.1\r\nHost : x\r\n\r\n") == 400);
	CHECK(check_text("GET / HTTP/1.1\r\nHost: x\r\n A: b\r\n\r\n") == 400);
	CHECK(check_bytes("GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", 36) != 0);
	CHECK(check_bytes("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", 29) != 0);

	CHECK(check_text("GET / HTTP/1.1\r\n\r\n") == 400);
	CHECK(check_text("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n") == 400);
	CHECK(check_text("GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n") == 400);
	CHECK(check_text("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n") == 400);
	CHECK(check_text("GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n") == 400);
	CHECK(check_text("G(T / HTTP/1.1\r\nHost: x\r\n\r\n") == 400);
	CHECK(check_text("GET / HTTP/1.2\r\nHost: x\r\n\r\n") == 400);
	CHECK(check_text("GET / HTTP/1.1\r\nHost: x\r\nA\xc3: b\r\n\r\n") == 400);
	CHECK(check_text("GET / HTTP/1.1\r\nHost: x\r\nA: \x01\r\n\r\n") == 400);
	CHECK(check_text("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: "
					 "1\r\n\r\n") == 400);
	CHECK(check_text("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: "
					 "chunked\r\n\r\n") == 400);
	CHECK(check_text("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n") == 400);
	CHECK(check_text("POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n") == 400);
	CHECK(check_text("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1,1\r\n\r\n") == 400);
	CHECK(check_text("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1 \r\n\r\n") == 400);
	CHECK(check_text("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\t\r\n\r\n") == 501);
	CHECK(check_text("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
					 "chunked\r\nTransfer-Encoding: chunked\r\n\r\n") == 400);
	CHECK(check_text("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n") == 501);
	CHECK(check_text("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400);

	memset(large, 'a', sizeof(large));
	memcpy(large, "GET / HTTP/1.1\r\nHost: x\r\nA: ", 28);
	memcpy(large + EXACT_HEAD_MAX - 4, "\r\n\r\n", 5);
	CHECK(check_bytes(large, EXACT_HEAD_MAX) == 0);
	memset(large, 'a', sizeof(large));
	memcpy(large, "GET / HTTP/1.1\r\nHost: x\r\nA: ", 28);
	memcpy(large + EXACT_HEAD_MAX - 3, "\r\n\r\n", 5);
	CHECK(check_bytes(large, EXACT_HEAD_MAX + 1) == 431);
	return checks_done();
}
