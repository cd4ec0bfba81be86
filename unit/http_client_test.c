/*
 * http_client_test.c - the asynchronous client against servers that misbehave, with name lookups of
 * our own.
 *
 * What matters most: whether a failed request was surely not sent, and that nothing is ever sent
 * twice.
 */
#include "backend.h"

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>

#include "bad_server.h"
#include "base/clock.c"
#include "base/words.c"
#include "http/host_policy.c"
#include "http/url.c"
#include "http/http_answer.c"
#include "http/http_transfer.c"
#include "http/http_client.c"
#include "check.h"

bool		exact_insecure_loopback = true;
char	   *exact_allowed_hosts = "start.exactonline.nl, nowhere.example, slow.example, "
	"inside.example, metadata.example";
char	   *exact_ca_file = "";

/* ---- what evloop.c and the server would give ---- */

static int	epoll_fd;
static ExactIoHandler io_handler;

void
exact_evloop_set_handler(ExactIoHandler handler)
{
	io_handler = handler;
}

int
exact_evloop_watch(int fd, uint32 events)
{
	struct epoll_event event = {.events = events,.data.fd = fd};

	if (events == 0)
		return epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &event);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

void
exact_evloop_dispatch(void)
{
	struct epoll_event events[64];
	int			n = epoll_wait(epoll_fd, events, 64, 0);

	for (int i = 0; i < n; i++)
		io_handler(events[i].data.fd, events[i].events);
}

void
ReserveExternalFD(void)
{
}

/* ---- name lookups: libcurl's threads come here instead of the C library ---- */

static volatile bool lookup_was_masked = true;
static volatile int lookups = 0;

static int
one_address(uint32 address, struct addrinfo **result)
{
	struct
	{
		struct addrinfo info;
		struct sockaddr_in address;
	}		   *both = calloc(1, sizeof(*both));

	both->address.sin_family = AF_INET;
	both->address.sin_addr.s_addr = htonl(address);
	both->info.ai_family = AF_INET;
	both->info.ai_socktype = SOCK_STREAM;
	both->info.ai_addrlen = sizeof(both->address);
	both->info.ai_addr = (struct sockaddr *) &both->address;
	*result = &both->info;
	return 0;
}

int
getaddrinfo(const char *node, const char *service pg_attribute_unused(),
			const struct addrinfo *hints pg_attribute_unused(),
			struct addrinfo **result)
{
	sigset_t	mask;
	struct in_addr literal;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	if (!sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGUSR1) ||
		!sigismember(&mask, SIGHUP) || !sigismember(&mask, SIGQUIT))
		lookup_was_masked = false;
	lookups++;
	if (strcmp(node, "slow.example") == 0)
		sleep(4);
	if (strcmp(node, "inside.example") == 0)
		return one_address(0x0A000001, result);
	if (strcmp(node, "metadata.example") == 0)
		return one_address(0xA9FEA9FE, result);
	if (strcmp(node, "localhost") == 0)
		return one_address(INADDR_LOOPBACK, result);
	if (inet_pton(AF_INET, node, &literal) == 1)
		return one_address(ntohl(literal.s_addr), result);
	return EAI_NONAME;
}

void
freeaddrinfo(struct addrinfo *info)
{
	free(info);
}

/* ---- requests ---- */

typedef struct Result
{
	bool		called;
	ExactHttpOutcome outcome;
	long		status;
	char		error[300];
	char	   *body;
	size_t		body_len;
	bool		too_large;
	char		remaining[32];
	long		retry_after;
	TimestampTz date;
	double		ms;
} Result;

static long longest_run_ms = 0;

static void
keep(ExactHttpResponse *response, void *arg)
{
	Result	   *result = arg;
	const char *remaining = exact_http_header(response, "x-ratelimit-remaining");

	CHECK(!result->called);
	result->called = true;
	result->outcome = response->outcome;
	result->status = response->status;
	strlcpy(result->error, response->error ? response->error : "", sizeof(result->error));
	result->body = malloc(response->body_len + 1);
	memcpy(result->body, response->body, response->body_len + 1);
	result->body_len = response->body_len;
	result->too_large = response->too_large;
	result->date = exact_http_date(response);
	result->ms = response->ms;
	result->retry_after = exact_http_retry_after(response, 3600);
	if (remaining)
		strlcpy(result->remaining, remaining, sizeof(result->remaining));
	CHECK((response->error == NULL) == (response->outcome == EXACT_HTTP_ANSWERED));
	CHECK(response->body[response->body_len] == '\0');
}

static void
turn(void)
{
	struct pollfd wait = {.fd = epoll_fd,.events = POLLIN};
	long		timeout = exact_http_timeout();
	int64		before;

	poll(&wait, 1, timeout < 0 || timeout > 100 ? 100 : (int) timeout);
	before = exact_clock_monotonic_ms();
	exact_http_run();
	longest_run_ms = Max(longest_run_ms, exact_clock_monotonic_ms() - before);
}

static ExactHttpTransfer *
begin(Result *result, const char *method, const char *url, const char *body, long timeout_ms,
	  size_t max_bytes)
{
	static const char *const headers[] = {"Authorization: Bearer marker",
		"Content-Type: application/json", NULL};
	ExactHttpRequest request = {
		.method = method,.url = url,.headers = headers,.body = body,
		.body_len = body ? strlen(body) : 0,
		.timeout_ms = timeout_ms,.max_bytes = max_bytes,.sensitive = true,
	};

	memset(result, 0, sizeof(*result));
	return exact_http_start(&request, keep, result);
}

static Result
fetch_url(const char *method, const char *url, const char *body, long timeout_ms, size_t max_bytes)
{
	Result		result;

	begin(&result, method, url, body, timeout_ms, max_bytes);
	CHECK(!result.called);		/* never before the next turn */
	while (!result.called)
		turn();
	return result;
}

static Result
fetch(const char *method, const char *path, const char *body, long timeout_ms, size_t max_bytes)
{
	char		url[200];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", server_port, path);
	return fetch_url(method, url, body, timeout_ms, max_bytes);
}

/* 2026-11-22 14:02:07 UTC */
TimestampTz
GetCurrentTimestamp(void)
{
	return time_t_to_timestamptz(1795356127);
}

static void
test_retry_after(void)
{
	CHECK(fetch("GET", "/ok", NULL, 0, 0).retry_after == -1);
	CHECK(fetch("GET", "/later/0", NULL, 0, 0).retry_after == 0);
	CHECK(fetch("GET", "/later/17", NULL, 0, 0).retry_after == 17);
	CHECK(fetch("GET", "/later/3600", NULL, 0, 0).retry_after == 3600);
	CHECK(fetch("GET", "/later/3601", NULL, 0, 0).retry_after == 3600);
	CHECK(fetch("GET", "/later/99999999999999999999", NULL, 0, 0).retry_after == 3600);
	CHECK(fetch("GET", "/later/-1", NULL, 0, 0).retry_after == -1);
	CHECK(fetch("GET", "/later/soon", NULL, 0, 0).retry_after == -1);
	CHECK(fetch("GET", "/later/17s", NULL, 0, 0).retry_after == -1);
	CHECK(fetch("GET", "/later/Sun,_22_Nov_2026_14:02:37_GMT", NULL, 0, 0).retry_after == 30);
	CHECK(fetch("GET", "/later/Sun,_22_Nov_2026_14:02:06_GMT", NULL, 0, 0).retry_after == 0);
	CHECK(fetch("GET", "/later/Sun,_22_Nov_2099_14:02:06_GMT", NULL, 0, 0).retry_after == 3600);
}

static void
test_answers(void)
{
	Result		r = fetch("GET", "/ok", NULL, 0, 0);

	CHECK(r.outcome == EXACT_HTTP_ANSWERED && r.status == 200 && strcmp(r.body, "hello") == 0 &&
		  r.body_len == 5);
	CHECK(strcmp(r.remaining, "4893") == 0);
	CHECK(r.date == time_t_to_timestamptz(1795356127));
	CHECK(r.ms >= 0 && r.ms < 5000);

	r = fetch("POST", "/echo", "{\"a\":1}", 0, 0);
	CHECK(r.outcome == EXACT_HTTP_ANSWERED && r.status == 201);
	CHECK(strncmp(r.body, "POST /echo HTTP/1.1\r\n", 21) == 0);
	CHECK(strstr(r.body, "\r\n\r\n{\"a\":1}") != NULL);
	CHECK(strstr(r.body, "User-Agent: exact_databricks\r\n") != NULL);
	CHECK(strstr(r.body, "Accept-Encoding: ") != NULL);
	CHECK(strstr(r.body, "Expect") == NULL);
	r = fetch("PUT", "/echo", "file", 0, 0);
	CHECK(strncmp(r.body, "PUT /echo HTTP/1.1\r\n", 20) == 0 &&
		  strstr(r.body, "\r\n\r\nfile") != NULL);
	r = fetch("DELETE", "/echo", NULL, 0, 0);
	CHECK(strncmp(r.body, "DELETE /echo HTTP/1.1\r\n", 23) == 0);
	r = fetch("POST", "/echo", NULL, 0, 0);
	CHECK(strncmp(r.body, "POST /echo HTTP/1.1\r\n", 21) == 0 &&
		  strstr(r.body, "Content-Length: 0\r\n") != NULL);
	r = fetch("HEAD", "/ok", NULL, 0, 0);
	CHECK(r.outcome == EXACT_HTTP_ANSWERED && r.status == 200 && r.body_len == 0);
	r = fetch("GET", "/missing", NULL, 0, 0);
	CHECK(r.outcome == EXACT_HTTP_ANSWERED && r.status == 404);
	r = fetch("GET", "/redirect", NULL, 0, 0);
	CHECK(r.outcome == EXACT_HTTP_ANSWERED && r.status == 302);
	r = fetch("GET", "/big", NULL, 0, 0);
	CHECK(r.outcome == EXACT_HTTP_ANSWERED && r.body_len == 64 * 65535);
	r = fetch_url("GET", psprintf("http://localhost:%d/ok", server_port), NULL, 0, 0);
	CHECK(r.outcome == EXACT_HTTP_ANSWERED);
}

static void
test_not_sent(void)
{
	Result		r = fetch_url("POST", "http://127.0.0.1:1/x", "a", 0, 0);
	int			before = *posts;

	CHECK(r.outcome == EXACT_HTTP_NOT_SENT && r.status == 0 && strstr(r.error, "connect") != NULL);
	r = fetch_url("POST", "https://nowhere.example/x", "a", 0, 0);
	CHECK(r.outcome == EXACT_HTTP_NOT_SENT && strstr(r.error, "resolve") != NULL);
	r = fetch_url("POST", "https://unlisted.example/x", "a", 0, 0);
	CHECK(r.outcome == EXACT_HTTP_NOT_SENT &&
		  strstr(r.error, "exact_databricks.allowed_hosts") != NULL);
	r = fetch_url("POST", "http://start.exactonline.nl/x", "a", 0, 0);
	CHECK(r.outcome == EXACT_HTTP_NOT_SENT && strstr(r.error, "https") != NULL);
	r = fetch_url("POST", "https://inside.example/x", "a", 0, 0);
	CHECK(r.outcome == EXACT_HTTP_NOT_SENT && strstr(r.error, "private") != NULL);
	r = fetch_url("GET", "https://metadata.example/x", NULL, 0, 0);
	CHECK(r.outcome == EXACT_HTTP_NOT_SENT && strstr(r.error, "private") != NULL);
	CHECK(lookups >= 3 && lookup_was_masked);
	/* the server does not speak TLS: it waits for the end of a request line that never comes */
	r = fetch_url("POST", psprintf("https://127.0.0.1:%d/ok", server_port), "a", 1000, 0);
	CHECK(r.outcome == EXACT_HTTP_NOT_SENT && r.status == 0);
	CHECK(*posts == before);
}

static void
test_unknown(void)
{
	Result		r = fetch("POST", "/close", "a", 0, 0);

	CHECK(r.outcome == EXACT_HTTP_UNKNOWN && r.status == 0);
	r = fetch("GET", "/partial", NULL, 0, 0);
	CHECK(r.outcome == EXACT_HTTP_UNKNOWN && strcmp(r.body, "only this") == 0);
	r = fetch("GET", "/cut-chunk", NULL, 0, 0);
	CHECK(r.outcome == EXACT_HTTP_UNKNOWN);
	r = fetch("POST", "/hang", "a", 700, 0);
	CHECK(r.outcome == EXACT_HTTP_UNKNOWN && r.ms >= 600 && r.ms < 5000);
	r = fetch("GET", "/big", NULL, 0, 100000);
	CHECK(r.outcome == EXACT_HTTP_UNKNOWN && r.too_large && r.body_len <= 100000);
	r = fetch("GET", "/many-headers", NULL, 0, 0);
	CHECK(r.outcome == EXACT_HTTP_UNKNOWN && r.too_large);
}

/*
 * The server has closed a connection that libcurl keeps for reuse: a GET is quietly sent again, a
 * POST is not.
 */
static void
test_never_twice(void)
{
	Result		r = fetch("GET", "/once", NULL, 0, 0);
	int			before;

	CHECK(r.outcome == EXACT_HTTP_ANSWERED);
	r = fetch("GET", "/once", NULL, 0, 0);
	CHECK(r.outcome == EXACT_HTTP_ANSWERED && strcmp(r.body, "once") == 0);

	before = *posts;
	r = fetch("POST", "/once", "a", 0, 0);
	CHECK(r.outcome == EXACT_HTTP_ANSWERED && *posts == before + 1);
	r = fetch("POST", "/once", "a", 0, 0);
	CHECK(r.outcome == EXACT_HTTP_ANSWERED && *posts == before + 2);
	r = fetch("POST", "/close", "a", 0, 0);
	CHECK(r.outcome == EXACT_HTTP_UNKNOWN && *posts == before + 3);
}

/* A name lookup that hangs holds up neither a cancel nor a timeout. */
static void
test_slow_lookup(void)
{
	Result		r;
	ExactHttpTransfer *t;
	int64		start;

	longest_run_ms = 0;
	r = fetch_url("GET", "https://slow.example/", NULL, 300, 0);
	CHECK(r.outcome == EXACT_HTTP_NOT_SENT && r.ms < 2000);
	t = begin(&r, "GET", "https://slow.example/", NULL, 0, 0);
	for (int i = 0; i < 5; i++)
		turn();
	start = exact_clock_monotonic_ms();
	exact_http_cancel(t);
	CHECK(exact_clock_monotonic_ms() - start < 500);
	CHECK(!r.called && exact_http_active() == 0);
	CHECK(longest_run_ms < 500);
}

static ExactHttpTransfer *victim;

static void
cancel_victim(ExactHttpResponse *response pg_attribute_unused(), void *arg)
{
	if (victim != NULL)
		exact_http_cancel(victim);
	victim = NULL;
	*(bool *) arg = true;
}

static void
test_many_and_cancel(void)
{
	Result		results[150];
	bool		cancelled = false;
	int			open = 150;
	ExactHttpRequest refused = {.method = "GET",.url = "https://unlisted.example/"};

	for (int i = 0; i < 150; i++)
		begin(&results[i], "GET", psprintf("http://127.0.0.1:%d/ok", server_port), NULL, 0, 0);
	CHECK(exact_http_active() == 150 && nactive == MAX_ACTIVE);
	while (open > 0)
	{
		turn();
		open = 0;
		for (int i = 0; i < 150; i++)
			open += !results[i].called;
	}
	for (int i = 0; i < 150; i++)
		CHECK(results[i].outcome == EXACT_HTTP_ANSWERED);
	CHECK(exact_http_active() == 0);

	/* hanging transfers and waiting ones are dropped without a call */
	for (int i = 0; i < 60; i++)
	{
		ExactHttpTransfer *t = begin(&results[i], "GET",
									 psprintf("http://127.0.0.1:%d/hang", server_port), NULL, 0, 0);

		turn();
		if (i % 2 == 0)
			exact_http_cancel(t);
		else
			results[i].body = (char *) t;
	}
	for (int i = 1; i < 60; i += 2)
		exact_http_cancel((ExactHttpTransfer *) results[i].body);
	CHECK(exact_http_active() == 0);

	/* a finished transfer is cancelled by the callback of another one that finished with it */
	exact_http_start(&refused, cancel_victim, &cancelled);
	victim = begin(&results[0], "GET", "https://unlisted.example/", NULL, 0, 0);
	turn();
	turn();
	CHECK(cancelled && !results[0].called);
}

/* Certificates are verified, by the given authority and for the name. */
static void
test_tls(void)
{
	char		directory[] = "/tmp/exact_http_test_XXXXXX";
	char		command[1024];
	char		line[256];
	int			port = 0;
	FILE	   *pipe;
	Result		r;

	if (mkdtemp(directory) == NULL)
		abort();
	snprintf(command, sizeof(command),
			 "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
			 "-keyout key -out cert -days 2 "
			 "-subj /CN=localhost -addext subjectAltName=DNS:localhost >/dev/null 2>&1 && "
			 "exec openssl s_server -www -accept 0 -key key -cert cert 2>&1 & echo pid $!; wait",
			 directory);
	pipe = popen(command, "r");
	{
		int			pid = 0;

		while (port == 0 && fgets(line, sizeof(line), pipe) != NULL)
		{
			char	   *colon = strrchr(line, ':');

			if (strncmp(line, "pid ", 4) == 0)
				pid = atoi(line + 4);
			else if (strncmp(line, "ACCEPT", 6) == 0 && colon)
				port = atoi(colon + 1);
		}
		CHECK(port > 0 && pid > 0);
		r = fetch_url("GET", psprintf("https://localhost:%d/", port), NULL, 5000, 0);
		CHECK(r.outcome == EXACT_HTTP_NOT_SENT && strstr(r.error, "certificate") != NULL);
		exact_ca_file = psprintf("%s/cert", directory);
		r = fetch_url("GET", psprintf("https://localhost:%d/", port), NULL, 5000, 0);
		CHECK(r.outcome == EXACT_HTTP_ANSWERED && r.status == 200);
		r = fetch_url("GET", psprintf("https://127.0.0.1:%d/", port), NULL, 5000, 0);
		CHECK(r.outcome == EXACT_HTTP_NOT_SENT && strstr(r.error, "certificate") != NULL);
		exact_ca_file = "/nonexistent/ca.pem";
		r = fetch_url("GET", psprintf("https://localhost:%d/", port), NULL, 5000, 0);
		CHECK(r.outcome == EXACT_HTTP_NOT_SENT);
		exact_ca_file = "";
		kill(pid, SIGTERM);
	}
	pclose(pipe);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	CHECK(system(command) == 0);
}

int
main(void)
{
	pid_t		server = start_server();

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	exact_http_init();
	test_retry_after();
	test_answers();
	test_not_sent();
	test_unknown();
	test_never_twice();
	test_slow_lookup();
	test_many_and_cancel();
	test_tls();
	kill(-server, SIGKILL);
	kill(server, SIGKILL);
	return checks_done();
}
