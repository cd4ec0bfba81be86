/*
 * http_transfer.c - one request and its answer as libcurl sees them: options, buffers, what a
 * failure means.
 *
 * Answers go into malloc'ed buffers with a cap. A request that may change something is never sent
 * twice by libcurl: it always gets a connection of its own, because a reused one that turns out
 * dead would be retried silently.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "base/guc.h"
#include "base/words.h"
#include "http/host_policy.h"
#include "http/http_client.h"
#include "http/http_transfer.h"

#define CONNECT_MS 15000L
#define DEFAULT_TIMEOUT_MS 60000L
#define DEFAULT_MAX_BYTES (64 * 1024 * 1024)
#define MAX_HEADER_BYTES (256 * 1024)
#define STALL_S 60L				/* below 1 byte/s for so long = gone */
#define FIRST_BODY_BYTES 16384
#define ERROR_MAX 1000			/* bytes of why a request failed */
#define CA_FILE_HELP "exact_databricks.ca_file names the certificates whose signature is trusted"

/* ---- called by libcurl: no throw, no palloc ---- */

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

/* The connection stands, TLS included; the request goes out next. */
static int
on_request(void *arg, char *remote_ip pg_attribute_unused(), char *own_ip pg_attribute_unused(),
		   int remote_port pg_attribute_unused(), int own_port pg_attribute_unused())
{
	ExactHttpTransfer *t = arg;

	t->begun = true;
	return CURL_PREREQFUNC_OK;
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

/* Grows by doubling, and copies by hand: realloc might leave a part of a token behind. */
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

		wanted = Min(Max(wanted, FIRST_BODY_BYTES), t->max_bytes + 1);
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

static bool
add_header(ExactHttpTransfer *t, const char *line)
{
	struct curl_slist *grown = curl_slist_append(t->headers, line);

	if (grown == NULL)
		return false;
	t->headers = grown;
	return true;
}

/*
 * Fills the easy handle; false when libcurl does not take something, which only lack of memory
 * explains.
 */
static bool
set_options(ExactHttpTransfer *t, const ExactHttpRequest *request, const char *url)
{
	long		timeout = request->timeout_ms > 0 ? request->timeout_ms : DEFAULT_TIMEOUT_MS;
	bool		safe = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
	bool		good = true;

#define SET(option, value) (good = good && curl_easy_setopt(t->easy, (option), (value)) == CURLE_OK)

	SET(CURLOPT_URL, url);
	SET(CURLOPT_PRIVATE, t);
	SET(CURLOPT_ERRORBUFFER, t->error);
	SET(CURLOPT_NOSIGNAL, 1L);
	/* a cancelled name lookup is left to its thread, not waited for */
	SET(CURLOPT_QUICK_EXIT, 1L);
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
	SET(CURLOPT_PREREQFUNCTION, on_request);
	SET(CURLOPT_PREREQDATA, t);
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

/* The body is copied, unless it is borrowed: libcurl reads it later, when the caller's is gone. */
bool
exact_http_transfer_prepare(ExactHttpTransfer *t, const ExactHttpRequest *request, const char *url)
{
	t->sensitive = request->sensitive;
	t->max_bytes = request->max_bytes > 0 ? request->max_bytes : DEFAULT_MAX_BYTES;
	t->request_len = request->body ? request->body_len : 0;
	t->borrowed = request->borrowed;
	t->request_body = t->borrowed ? unconstify(char *, request->body) : malloc(t->request_len + 1);
	t->easy = curl_easy_init();
	if (t->request_body == NULL || t->easy == NULL)
		return false;
	if (request->body && !t->borrowed)
		memcpy(t->request_body, request->body, t->request_len);
	if (!t->borrowed)
		t->request_body[t->request_len] = '\0';
	return set_options(t, request, url);
}

static void
free_headers(struct curl_slist *headers, bool sensitive)
{
	for (struct curl_slist *line = headers; sensitive && line; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(headers);
}

void
exact_http_transfer_free(ExactHttpTransfer *t)
{
	if (t->easy)
		curl_easy_cleanup(t->easy);
	free_headers(t->headers, t->sensitive);
	if (!t->borrowed)
		wipe_free(t->request_body, t->request_len, t->sensitive);
	wipe_free(t->data, t->len, t->sensitive);
	if (t->refusal)
		pfree(t->refusal);
	pfree(t);
}

/* ---- the answer ---- */

/* The certificate may be right: who has signed it is not known here. */
static bool
is_unknown_issuer(const ExactHttpTransfer *t)
{
	/* X509_V_ERR_… of OpenSSL: no issuer, self-signed, self-signed in the chain, no issuer here, no
	 * signature that can be checked */
	static const long unknown[] = {2, 18, 19, 20, 21};
	long		result = 0;

	if (t->easy == NULL || t->result != CURLE_PEER_FAILED_VERIFICATION ||
		curl_easy_getinfo(t->easy, CURLINFO_SSL_VERIFYRESULT, &result) != CURLE_OK)
		return false;
	for (int i = 0; i < (int) lengthof(unknown); i++)
		if (result == unknown[i])
			return true;
	return false;
}

/* libcurl's words hold names of the other side's certificate. */
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
		return "the host's address is private, link-local or loopback,"
			" which exact_databricks.allowed_hosts does not allow for it";
	if (t->error[0])
		return is_unknown_issuer(t) ? psprintf("%s; " CA_FILE_HELP, t->error) : t->error;
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

/*
 * Whether the other side may have processed a request without an answer is what matters most:
 * libcurl calls on_request() just before the first byte of the request goes out, and without that
 * it was not sent. Its time of this, CURLINFO_PRETRANSFER_TIME_T, is no sign: newer versions set it
 * at every end.
 */
void
exact_http_transfer_answer(ExactHttpTransfer *t, ExactHttpResponse *response)
{
	static char empty[1] = "";

	memset(response, 0, sizeof(ExactHttpResponse));
	response->body = t->data ? t->data : empty;
	response->body[t->len] = '\0';
	response->body_len = t->len;
	response->ms = (double) (t->ended_ms - t->started_ms);
	response->too_large = t->too_large;
	response->headers = (struct ExactHttpHeaders *) t;
	if (t->easy && t->result == CURLE_OK && !t->out_of_memory)
		response->outcome = EXACT_HTTP_ANSWERED;
	else
	{
		response->outcome = t->begun ? EXACT_HTTP_UNKNOWN : EXACT_HTTP_NOT_SENT;
		response->error = exact_words_tidy(describe_failure(t), ERROR_MAX);
		response->failure = failure_of(t);
	}
	if (t->easy)
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &response->status);
}
