/*
 * http_client.c - asynchronous HTTPS requests of a worker; with url.c the only file that knows libcurl.
 *
 * libcurl tells which sockets and which timer it wants, evloop.c waits, exact_http_run moves everything on. While libcurl is on
 * the stack nothing throws and all signals are blocked: its resolver starts threads, which inherit the mask and so never run a
 * handler of this process. Answers go into malloc'ed buffers with a cap. A request that may change something is never sent
 * twice by libcurl: it always gets a connection of its own, because a reused one that turns out dead would be retried silently.
 */
#include "postgres.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/ilist.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include <curl/curl.h>

#include "errors.h"
#include "evloop.h"
#include "guc.h"
#include "host_policy.h"
#include "http_client.h"
#include "url.h"

#define MAX_ACTIVE 48			/* transfers at once; others wait, and their time does not run */
#define CONNECT_MS 15000L
#define DEFAULT_TIMEOUT_MS 60000L
#define DEFAULT_MAX_BYTES (64 * 1024 * 1024)
#define MAX_HEADER_BYTES (256 * 1024)
#define STALL_S 60L				/* below 1 byte/s for so long = gone */

typedef enum TransferState
{
	TRANSFER_QUEUED,
	TRANSFER_ACTIVE,
	TRANSFER_FINISHED,			/* done is due */
	TRANSFER_CALLING
} TransferState;

struct ExactHttpTransfer
{
	dlist_node	node;
	TransferState state;
	CURL	   *easy;
	struct curl_slist *headers;
	char	   *request_body;
	size_t		request_len;
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
	CURLcode	result;
	char	   *refusal;		/* why it was not even tried */
	int64		started_ms;
	int64		ended_ms;
	ExactHttpDone done;
	void	   *arg;
	char		error[CURL_ERROR_SIZE];
};

static CURLM *multi = NULL;
static MemoryContext http_context = NULL;
static dlist_head queued = DLIST_STATIC_INIT(queued);
static dlist_head active = DLIST_STATIC_INIT(active);
static dlist_head finished = DLIST_STATIC_INIT(finished);
static int	nactive = 0;
static int	nqueued = 0;
static int64 timer_ms = -1;		/* when libcurl wants to be called, monotonic; -1 = not */

static int64
monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	sigprocmask(SIG_BLOCK, &all, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	sigprocmask(SIG_SETMASK, saved, NULL);
}

/* ---- called by libcurl: no throw, no palloc ---- */

static int
on_socket(CURL *easy pg_attribute_unused(), curl_socket_t fd, int what, void *arg pg_attribute_unused(),
		  void *socket_arg pg_attribute_unused())
{
	uint32		events = 0;

	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= EPOLLOUT;
	if (exact_evloop_watch(fd, events) != 0 && events != 0)
		return -1;
	return 0;
}

static int
on_timer(CURLM *m pg_attribute_unused(), long timeout_ms, void *arg pg_attribute_unused())
{
	timer_ms = timeout_ms < 0 ? -1 : monotonic_ms() + timeout_ms;
	return 0;
}

static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose pg_attribute_unused(), struct curl_sockaddr *address)
{
	ExactHttpTransfer *t = arg;
	ExactAddressClass class = exact_address_class(&address->addr);

	if (class == EXACT_ADDRESS_PUBLIC ||
		(class == EXACT_ADDRESS_PRIVATE && t->private_too) ||
		(class == EXACT_ADDRESS_LOOPBACK && exact_insecure_loopback))
		return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	t->address_refused = true;
	return CURL_SOCKET_BAD;
}

static void
wipe_free(char *data, size_t len, bool sensitive)
{
	if (data == NULL)
		return;
	if (sensitive)
		explicit_bzero(data, len);
	free(data);
}

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	ExactHttpTransfer *t = arg;
	size_t		bytes = size * n;

	if (bytes > t->max_bytes - t->len)
	{
		t->too_large = true;
		return CURL_WRITEFUNC_ERROR;
	}
	if (t->len + bytes + 1 > t->allocated)
	{
		size_t		wanted = Max(t->allocated * 2, t->len + bytes + 1);
		char	   *grown;

		wanted = Max(wanted, 16384);
		grown = malloc(wanted);
		if (grown == NULL)
		{
			t->out_of_memory = true;
			return CURL_WRITEFUNC_ERROR;
		}
		if (t->len > 0)
			memcpy(grown, t->data, t->len);
		wipe_free(t->data, t->len, t->sensitive);
		t->data = grown;
		t->allocated = wanted;
	}
	memcpy(t->data + t->len, data, bytes);
	t->len += bytes;
	return bytes;
}

static size_t
on_header(char *data pg_attribute_unused(), size_t size, size_t n, void *arg)
{
	ExactHttpTransfer *t = arg;

	t->header_bytes += size * n;
	if (t->header_bytes > MAX_HEADER_BYTES)
	{
		t->too_large = true;
		return 0;
	}
	return size * n;
}

/* ---- end of callbacks ---- */

static void
on_ready(int fd, uint32 events)
{
	int			mask = 0;
	int			running;

	if (events & EPOLLIN)
		mask |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		mask |= CURL_CSELECT_ERR;
	curl_multi_socket_action(multi, fd, mask, &running);
}

void
exact_http_init(void)
{
	Assert(multi == NULL);
	http_context = AllocSetContextCreate(TopMemoryContext, "exact http", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < MAX_ACTIVE; i++)
		ReserveExternalFD();
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (multi = curl_multi_init()) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not initialize libcurl")));
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) MAX_ACTIVE);
	exact_evloop_set_handler(on_ready);
}

static void
free_headers(struct curl_slist *headers, bool sensitive)
{
	for (struct curl_slist *line = headers; sensitive && line; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(headers);
}

/* Accepts a half-built transfer that is in no list of libcurl. */
static void
free_transfer(ExactHttpTransfer *t)
{
	sigset_t	saved;

	block_signals(&saved);
	if (t->easy)
		curl_easy_cleanup(t->easy);
	free_headers(t->headers, t->sensitive);
	restore_signals(&saved);
	wipe_free(t->request_body, t->request_len, t->sensitive);
	wipe_free(t->data, t->len, t->sensitive);
	if (t->refusal)
		pfree(t->refusal);
	pfree(t);
}

static bool
add_header(ExactHttpTransfer *t, const char *line)
{
	struct curl_slist *grown = curl_slist_append(t->headers, line);

	if (grown == NULL)
		return false;
	t->headers = grown;
	return true;
}

/* Fills the easy handle; false when libcurl does not take something, which only lack of memory explains. */
static bool
prepare(ExactHttpTransfer *t, const ExactHttpRequest *request, const char *url)
{
	long		timeout = request->timeout_ms > 0 ? request->timeout_ms : DEFAULT_TIMEOUT_MS;
	bool		safe = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
	bool		good = true;

#define SET(option, value) (good = good && curl_easy_setopt(t->easy, (option), (value)) == CURLE_OK)

	SET(CURLOPT_URL, url);
	SET(CURLOPT_PRIVATE, t);
	SET(CURLOPT_ERRORBUFFER, t->error);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);	/* a cancelled name lookup is left to its thread, not waited for */
	SET(CURLOPT_PROTOCOLS_STR, exact_insecure_loopback ? "https,http" : "https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");		/* also none from the environment */
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_ACCEPT_ENCODING, "");
	SET(CURLOPT_USERAGENT, "exact_databricks");
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	if (exact_ca_file[0] != '\0')
		SET(CURLOPT_CAINFO, exact_ca_file);
	SET(CURLOPT_CONNECTTIMEOUT_MS, Min(timeout, CONNECT_MS));
	SET(CURLOPT_TIMEOUT_MS, timeout);
	if (!request->sensitive)	/* a token answer may be silent for all of its time */
	{
		SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
		SET(CURLOPT_LOW_SPEED_TIME, STALL_S);
	}
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_FRESH_CONNECT, safe ? 0L : 1L);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, t);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, t);

	if (request->body != NULL || strcmp(request->method, "POST") == 0)
	{
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) t->request_len);
		SET(CURLOPT_POSTFIELDS, t->request_body);
	}
	if (strcmp(request->method, "HEAD") == 0)
		SET(CURLOPT_NOBODY, 1L);
	else if (strcmp(request->method, "GET") != 0 || request->body != NULL)
		SET(CURLOPT_CUSTOMREQUEST, request->method);

	for (const char *const *line = request->headers; line && *line; line++)
		good = good && add_header(t, *line);
	good = good && add_header(t, "Expect:");	/* bodies go out at once */
	SET(CURLOPT_HTTPHEADER, t->headers);
#undef SET
	return good;
}

static void
finish(ExactHttpTransfer *t)
{
	t->ended_ms = monotonic_ms();
	t->state = TRANSFER_FINISHED;
	dlist_push_tail(&finished, &t->node);
}

/* Lets waiting transfers begin; signals are blocked. */
static void
admit(void)
{
	while (nactive < MAX_ACTIVE && !dlist_is_empty(&queued))
	{
		ExactHttpTransfer *t = dlist_container(ExactHttpTransfer, node, dlist_pop_head_node(&queued));

		nqueued--;
		t->started_ms = monotonic_ms();
		if (curl_multi_add_handle(multi, t->easy) != CURLM_OK)
		{
			t->result = CURLE_OUT_OF_MEMORY;
			finish(t);
			continue;
		}
		t->state = TRANSFER_ACTIVE;
		nactive++;
		dlist_push_tail(&active, &t->node);
	}
}

ExactHttpTransfer *
exact_http_start(const ExactHttpRequest *request, ExactHttpDone done, void *arg)
{
	MemoryContext old = MemoryContextSwitchTo(http_context);
	ExactHttpTransfer *t = palloc0(sizeof(ExactHttpTransfer));
	sigset_t	saved;
	char	   *url;
	bool		good;

	t->sensitive = request->sensitive;
	t->max_bytes = request->max_bytes > 0 ? request->max_bytes : DEFAULT_MAX_BYTES;
	t->done = done;
	t->arg = arg;
	t->started_ms = monotonic_ms();

	url = exact_url_check(request->url, request->own, &t->private_too, &t->refusal);
	block_signals(&saved);
	if (url == NULL)
		finish(t);
	else
	{
		t->request_len = request->body ? request->body_len : 0;
		t->request_body = malloc(t->request_len + 1);
		if (t->request_body != NULL)
		{
			if (request->body)
				memcpy(t->request_body, request->body, t->request_len);
			t->request_body[t->request_len] = '\0';
		}
		t->easy = curl_easy_init();
		good = t->easy != NULL && t->request_body != NULL && prepare(t, request, url);
		if (!good)
		{
			t->out_of_memory = true;
			finish(t);
		}
		else
		{
			t->state = TRANSFER_QUEUED;
			nqueued++;
			dlist_push_tail(&queued, &t->node);
			admit();
		}
	}
	restore_signals(&saved);
	if (url)
		pfree(url);
	MemoryContextSwitchTo(old);
	return t;
}

void
exact_http_cancel(ExactHttpTransfer *t)
{
	sigset_t	saved;

	if (t->state == TRANSFER_CALLING)
		return;					/* freed when its done returns */
	dlist_delete(&t->node);
	if (t->state == TRANSFER_QUEUED)
		nqueued--;
	if (t->state == TRANSFER_ACTIVE)
	{
		nactive--;
		block_signals(&saved);
		curl_multi_remove_handle(multi, t->easy);
		restore_signals(&saved);
	}
	free_transfer(t);
}

int
exact_http_active(void)
{
	return nactive + nqueued;
}

long
exact_http_timeout(void)
{
	if (!dlist_is_empty(&finished))
		return 0;
	return timer_ms < 0 ? -1 : (long) Max(timer_ms - monotonic_ms(), 0);
}

/* Takes ended transfers from libcurl; signals are blocked. */
static void
collect(void)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURL	   *easy = message->easy_handle;
		CURLcode	result = message->data.result;
		char	   *private = NULL;
		ExactHttpTransfer *t;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
		t = (ExactHttpTransfer *) private;
		curl_multi_remove_handle(multi, easy);
		dlist_delete(&t->node);
		nactive--;
		t->result = result;
		finish(t);
	}
}

static const char *
describe_failure(ExactHttpTransfer *t)
{
	if (t->refusal)
		return t->refusal;
	if (t->too_large)
		return "the answer is larger than allowed";
	if (t->out_of_memory)
		return "out of memory";
	if (t->address_refused && t->result == CURLE_COULDNT_CONNECT)
		return "the host's address is private, link-local or loopback, which exact_databricks.allowed_hosts does not allow for it";
	if (t->error[0])
		return t->error;
	return curl_easy_strerror(t->result);
}

static ExactHttpFailure
failure_of(const ExactHttpTransfer *t)
{
	if (t->refusal || (t->address_refused && t->result == CURLE_COULDNT_CONNECT))
		return EXACT_HTTP_HOST;
	switch (t->result)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
			return EXACT_HTTP_NAME;
		case CURLE_COULDNT_CONNECT:
			return EXACT_HTTP_CONNECT;
		case CURLE_OPERATION_TIMEDOUT:
			return EXACT_HTTP_TIMEOUT;
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
			return EXACT_HTTP_TLS;
		default:
			return EXACT_HTTP_OTHER;
	}
}

/* Calls done of one ended transfer and frees it. */
static void
deliver(ExactHttpTransfer *t)
{
	ExactHttpResponse response;
	MemoryContext context = AllocSetContextCreate(http_context, "exact http done", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	curl_off_t	pretransfer_us = 0;
	char		empty[1] = "";

	memset(&response, 0, sizeof(response));
	response.body = t->data ? t->data : empty;
	response.body[t->len] = '\0';
	response.body_len = t->len;
	response.ms = (double) (t->ended_ms - t->started_ms);
	response.too_large = t->too_large;
	response.headers = (struct ExactHttpHeaders *) t;
	if (t->easy && t->result == CURLE_OK && !t->out_of_memory)
		response.outcome = EXACT_HTTP_ANSWERED;
	else
	{
		/* libcurl notes this time just before the first byte of the request goes out. */
		if (t->easy)
			curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer_us);
		response.outcome = pretransfer_us > 0 ? EXACT_HTTP_UNKNOWN : EXACT_HTTP_NOT_SENT;
		response.error = describe_failure(t);
		response.failure = failure_of(t);
	}
	if (t->easy)
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &response.status);

	t->state = TRANSFER_CALLING;
	t->done(&response, t->arg);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	free_transfer(t);
}

int
exact_http_run(void)
{
	dlist_head	due;
	sigset_t	saved;
	int			running;
	int			n = 0;

	if (nactive + nqueued > 0)
	{
		block_signals(&saved);
		exact_evloop_dispatch();
		if (timer_ms >= 0 && timer_ms <= monotonic_ms())
		{
			timer_ms = -1;
			curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
		}
		collect();
		admit();
		restore_signals(&saved);
	}

	/* done may start transfers, even some that end at once: those are for the next turn */
	dlist_init(&due);
	while (!dlist_is_empty(&finished))
		dlist_push_tail(&due, dlist_pop_head_node(&finished));
	while (!dlist_is_empty(&due))
	{
		deliver(dlist_container(ExactHttpTransfer, node, dlist_pop_head_node(&due)));
		n++;
	}
	return n;
}

const char *
exact_http_header(const ExactHttpResponse *response, const char *name)
{
	ExactHttpTransfer *t = (ExactHttpTransfer *) response->headers;
	struct curl_header *header;

	if (t->easy == NULL || curl_easy_header(t->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return NULL;
	return header->value;
}

TimestampTz
exact_http_parse_date(const char *text)
{
	time_t		seconds = curl_getdate(text, NULL);

	return seconds < 0 ? 0 : time_t_to_timestamptz(seconds);
}

TimestampTz
exact_http_date(const ExactHttpResponse *response)
{
	const char *value = exact_http_header(response, "Date");

	return value ? exact_http_parse_date(value) : 0;
}
