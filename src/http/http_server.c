/*
 * http_server.c - the HTTP/1.1 server of the listener; the only file that knows libmicrohttpd.
 *
 * Called by listener.c. Connections are accepted here, so that limits and deadlines are ours
 * (client.c), and handed to the library, which reads requests and writes replies when it is run. A
 * complete request waits, its connection blocked, until the caller answers it; one that waits for
 * longer than a turn is suspended (suspending each would cost three system calls). Inside the
 * library's callbacks nothing of the server is called: memory is malloc'ed, nothing raises, and
 * what happens is counted.
 */
#include "postgres.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base64.h"
#include "lib/ilist.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include <microhttpd.h>

#include "base/clock.h"
#include "base/evloop.h"
#include "base/peer.h"
#include "http/client.h"
#include "http/http_request.h"
#include "http/http_server.h"
#include "http/listen.h"

#define ACCEPTS_AT_ONCE 64
#define ACCEPT_PAUSE_MS 100		/* no descriptor is to be had */
#define POOL_BYTES 16384		/* the library's, a connection; a head must fit into it */
#define DRAIN_FACTOR 16			/* so much of a body that is too large is read, to answer it */
#define RUNS_AT_ONCE 32
#define STOPPING_RETRY_S 10		/* when whoever is refused at the end may come again */
#define STOPPING_RETRY CppAsString2(STOPPING_RETRY_S)

/*
 * Up to 0.9.75 strictness adds one refusal, which is sent twice; what it is about http_request.c
 * refuses as well. It is the library's version that counts: with two installed, the header may be
 * the other one's.
 */
#define LIBRARY_IS_FROM(version) (strverscmp(MHD_get_version(), version) >= 0)
#define STRICT_LEVEL (LIBRARY_IS_FROM("0.9.77") ? 1 : 0)

typedef struct Request
{
	ExactRequest public;
	dlist_node	node;			/* in complete or taken, while it is unanswered */
	struct MHD_Connection *connection;
	ExactClient *client;
	bool		begun;
	bool		whole;
	bool		unanswered;		/* complete, in one of the lists */
	bool		suspended;
	bool		close;			/* the connection ends with the reply */
	size_t		received;
	size_t		body_room;
	char	   *body;
	char	   *token;
	size_t		target_len;
	char		target[FLEXIBLE_ARRAY_MEMBER];
} Request;

static struct MHD_Daemon *server = NULL;
static int	server_fd = -1;
static bool cuts_blanks;		/* the library does so, from 1.0 on */
static const ExactRoute *routes;
/* no descriptor was to be had: until then none is accepted */
static TimestampTz accept_again = 0;

static dlist_head complete = DLIST_STATIC_INIT(complete);
static dlist_head taken = DLIST_STATIC_INIT(taken);
/* handed to the library, which has not told of them yet */
static dlist_head arriving = DLIST_STATIC_INIT(arriving);
static bool stopping = false;

static ExactHttpServerCounts counts;
static uint64 turned_away = 0;	/* connections closed at once */

/* ---- replies ---- */

static void
add_header(struct MHD_Response *response, const char *name, const char *value)
{
	(void) MHD_add_response_header(response, name, value);
}

static struct MHD_Response *
make_response(const void *body, size_t len, const char *type, const char *style_hash)
{
	struct MHD_Response *response;
	char		policy[256];

	response = MHD_create_response_from_buffer(len, unconstify(void *, body),
											   MHD_RESPMEM_MUST_COPY);
	if (response == NULL)
		return NULL;
	snprintf(policy, sizeof(policy),
			 "default-src 'none'; style-src %s; base-uri 'none'; form-action 'none';"
			 " frame-ancestors 'none'",
			 style_hash ? style_hash : "'none'");
	if (len > 0)
		add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	add_header(response, "Content-Security-Policy", policy);
	add_header(response, "X-Content-Type-Options", "nosniff");
	add_header(response, "Referrer-Policy", "no-referrer");
	return response;
}

/* Replies without a body are made once. */
static struct MHD_Response *
empty_response(void)
{
	static struct MHD_Response *response = NULL;

	if (response == NULL)
		response = make_response("", 0, NULL, NULL);
	return response;
}

/* Queues a reply of our own, after which the connection ends. */
static enum MHD_Result
refuse(struct MHD_Connection *connection, int status, const char *allow)
{
	struct MHD_Response *response = make_response("", 0, NULL, NULL);
	enum MHD_Result result;

	if (response == NULL)
		return MHD_NO;
	add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	if (allow)
		add_header(response, MHD_HTTP_HEADER_ALLOW, allow);
	if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
		add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, STOPPING_RETRY);
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* ---- connections ---- */

/* Whose socket this is, who arrives no more; NULL: none that still arrives. */
static ExactClient *
arrived(int fd)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &arriving)
	{
		ExactClient *client = dlist_container(ExactClient, arrival, iter.cur);

		if (client->fd != fd)
			continue;
		dlist_delete(iter.cur);
		return client;
	}
	return NULL;
}

static void
on_connection(void *arg pg_attribute_unused(), struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info;
	ExactClient *client;

	if (what == MHD_CONNECTION_NOTIFY_STARTED)
	{
		info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		*context = info ? arrived(info->connect_fd) : NULL;
		return;
	}
	client = *context;
	*context = NULL;
	if (client == NULL)
		return;
	exact_client_free(client);
}

static void
watch_sockets(bool watch)
{
	for (int i = 0; exact_listen_socket(i) >= 0; i++)
		(void) exact_evloop_watch(exact_listen_socket(i), watch ? EPOLLIN : 0);
	accept_again = watch ? 0 : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ACCEPT_PAUSE_MS);
}

/*
 * A socket that was accepted, as a connection of the library. That tells on_connection: up to 0.9
 * during the call, from 1.0 on when it is run next. Where it refuses, it closes the socket.
 */
static void
take_connection(int fd, const struct sockaddr_storage *address, socklen_t len)
{
	int			on = 1;
	ExactPeer	peer;
	ExactClient *client = NULL;

	if (exact_peer_from((const struct sockaddr *) address, &peer))
		client = exact_client_new(fd, &peer);
	if (client == NULL)
	{
		turned_away++;
		close(fd);
		return;
	}
	dlist_push_tail(&arriving, &client->arrival);
	(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (MHD_add_connection(server, fd, (const struct sockaddr *) address, len) != MHD_YES &&
		(client = arrived(fd)) != NULL)
		exact_client_free(client);
}

/* Without a free descriptor the sockets are not watched for a while: they would stay ready. */
static void
accept_some(int listening)
{
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++)
	{
		struct sockaddr_storage address;
		socklen_t	len = sizeof(address);
		int			fd = accept4(listening, (struct sockaddr *) &address, &len,
								 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			take_connection(fd, &address, len);
		else if (errno != EINTR && errno != ECONNABORTED)
		{
			if (errno != EAGAIN)
				watch_sockets(false);
			return;
		}
	}
}

/* ---- requests ---- */

static void *
on_target(void *arg pg_attribute_unused(), const char *target, struct MHD_Connection *connection)
{
	size_t		len = target ? strlen(target) : 0;
	Request    *request = calloc(1, offsetof(Request, target) + len + 1);

	if (request == NULL)
		return NULL;
	request->connection = connection;
	request->target_len = len;
	if (len > 0)
		memcpy(request->target, target, len);
	return request;
}

static void
on_completed(void *arg pg_attribute_unused(),
			 struct MHD_Connection *connection pg_attribute_unused(), void **context,
			 enum MHD_RequestTerminationCode how)
{
	Request    *request = *context;

	*context = NULL;
	if (request == NULL)
		return;
	if (request->unanswered)
		dlist_delete(&request->node);	/* the client has gone */
	if (how == MHD_REQUEST_TERMINATED_WITH_ERROR && !request->whole)
		counts.malformed++;		/* the library refused it */
	if (request->whole)
		exact_client_prove(request->client);
	if (request->client != NULL)
		exact_client_wait(request->client);
	free(request->body);
	if (request->token)
		explicit_bzero(request->token, strlen(request->token));
	free(request->token);
	free(request);
}

static bool
is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

/*
 * Blanks behind a value are no part of it. Up to 0.9 the library leaves them there. From 1.0 on it
 * ends the value before them with a NUL, in the buffer that was received, where they and the end of
 * the line follow; without blanks the NUL has taken the place of the carriage return.
 */
static void
cut_blanks(ExactHeader *header)
{
	const char *end = header->value + header->value_len;
	size_t		n = 1;

	while (end > header->value && is_blank(end[-1]))
		end--;
	header->blanks = header->value_len - (end - header->value);
	header->value_len = end - header->value;
	if (!cuts_blanks)
		return;
	while (is_blank(end[n]))
		n++;
	if (end[n] == '\r')
		header->blanks += n;
}

static enum MHD_Result
take_header(void *arg, enum MHD_ValueKind kind pg_attribute_unused(), const char *name,
			size_t name_len, const char *value, size_t value_len)
{
	ExactHead  *head = arg;

	if (head->nheaders < EXACT_HEADERS_MAX)
	{
		ExactHeader *header = &head->headers[head->nheaders];

		header->name = name;
		header->name_len = name_len;
		header->value = value ? value : name + name_len;
		header->value_len = value ? value_len : 0;
		cut_blanks(header);
	}
	head->nheaders++;
	return MHD_YES;
}

/* What follows the name of the scheme of "Authorization: Scheme words"; NULL: it is another one */
static const char *
words_of(const ExactHeader *header, const char *scheme, size_t *len)
{
	size_t		begin = strlen(scheme);

	if (header->value_len <= begin || pg_strncasecmp(header->value, scheme, begin) != 0)
		return NULL;
	*len = header->value_len - begin;
	return header->value + begin;
}

/* The password of "user:password" in base64, malloc'ed: what a browser sends. */
static char *
password_of(const char *words, size_t len)
{
	char		plain[1024];
	int			n = -1;
	const char *colon = NULL;
	char	   *password;

	if (len < sizeof(plain))
		n = pg_b64_decode(words, (int) len, (void *) plain, sizeof(plain));
	if (n > 0)
		colon = memchr(plain, ':', n);
	password = colon ? strndup(colon + 1, plain + n - colon - 1) : NULL;
	explicit_bzero(plain, sizeof(plain));
	return password;
}

/* The token of an Authorization header, malloc'ed; NULL when there is none. */
static char *
token_of(const ExactHeader *header)
{
	size_t		len = 0;
	const char *words;

	if (header == NULL)
		return NULL;
	if ((words = words_of(header, "Bearer ", &len)) != NULL)
		return strndup(words, len);
	if ((words = words_of(header, "Basic ", &len)) != NULL)
		return password_of(words, len);
	return NULL;
}

/* The head as the library read it. */
static void
fill_head(ExactHead *head, const Request *request, const char *method, const char *version)
{
	const union MHD_ConnectionInfo *info;

	head->method = method;
	head->method_len = strlen(method);
	head->target = request->target;
	head->target_len = request->target_len;
	head->version = version;
	head->nheaders = 0;
	info = MHD_get_connection_info(request->connection,
								   MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	head->size = info ? info->header_size : 0;
	(void) MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, take_header, head);
}

static const ExactRoute *
find_route(const ExactHead *head)
{
	for (const ExactRoute *route = routes; route->path != NULL; route++)
	{
		if (strlen(route->path) == head->path_len &&
			memcmp(route->path, head->target, head->path_len) == 0)
			return route;
	}
	return NULL;
}

/* 0, and the route; or the status that refuses the request, counted. */
static int
check_head(ExactHead *head, const ExactRoute **route)
{
	bool		post = strcmp(head->method, "POST") == 0;
	bool		get = strcmp(head->method, "GET") == 0 || strcmp(head->method, "HEAD") == 0;
	int			status = MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;

	*route = NULL;
	if (head->nheaders <= EXACT_HEADERS_MAX)
		status = exact_request_check(head);
	if (status != 0)
	{
		counts.malformed++;
		return status;
	}
	if (stopping)
		return MHD_HTTP_SERVICE_UNAVAILABLE;
	*route = find_route(head);
	if (*route == NULL || ((*route)->post ? !post : !get))
	{
		counts.unknown++;
		return *route == NULL ? MHD_HTTP_NOT_FOUND : MHD_HTTP_METHOD_NOT_ALLOWED;
	}
	if (head->content_length > (*route)->max_body)
	{
		counts.too_large++;
		return MHD_HTTP_CONTENT_TOO_LARGE;
	}
	return 0;
}

/*
 * Head received: refuses at once what will not be served; else the body may come. Whatever a
 * lenient reading of a chunked body's framing leaves over is no next request: the connection ends
 * with it.
 */
static enum MHD_Result
begin_request(Request *request, const char *method, const char *version)
{
	static ExactHead head;		/* large, and requests begin one at a time */
	const union MHD_ConnectionInfo *info;
	const ExactRoute *route;
	const char *allow = NULL;
	int			status;

	info = MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	if (info == NULL || info->socket_context == NULL)
		return MHD_NO;
	request->client = info->socket_context;
	fill_head(&head, request, method, version);
	status = check_head(&head, &route);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		allow = route->post ? "POST" : "GET, HEAD";
	if (status != 0)
		return refuse(request->connection, status, allow);

	request->close = head.chunked;
	request->public.route = route;
	request->public.head = strcmp(method, "HEAD") == 0;
	if (head.path_len < request->target_len)
		request->public.query = request->target + head.path_len + 1;
	else
		request->public.query = "";
	exact_client_origin(request->client, head.forwarded_for, &request->public.client);
	if (route->token)
		request->public.token = request->token = token_of(head.authorization);
	return MHD_YES;
}

/*
 * More of the body. What is above the limit is read and dropped, so that the answer can be given,
 * but not without end.
 */
static enum MHD_Result
take_body(Request *request, const char *data, size_t *size)
{
	size_t		max = request->public.route->max_body;

	if (request->received + *size > max)
	{
		free(request->body);
		request->body = NULL;
		request->received += *size;
		*size = 0;
		return request->received > max * DRAIN_FACTOR ? MHD_NO : MHD_YES;
	}
	if (request->received + *size > request->body_room)
	{
		size_t		room = Max(request->received + *size, Min(max, 2 * request->body_room));
		char	   *body = realloc(request->body, room);

		if (body == NULL)
			return MHD_NO;
		request->body = body;
		request->body_room = room;
	}
	memcpy(request->body + request->received, data, *size);
	request->received += *size;
	*size = 0;
	return MHD_YES;
}

/* Called with the head, then with each part of the body, then at its end, until it is answered. */
static enum MHD_Result
on_request(void *arg pg_attribute_unused(), struct MHD_Connection *connection,
		   const char *url pg_attribute_unused(), const char *method, const char *version,
		   const char *data, size_t *size, void **context)
{
	Request    *request = *context;

	if (request == NULL)
		return MHD_NO;
	if (!request->begun)
	{
		request->begun = true;
		return begin_request(request, method, version);
	}
	if (*size > 0)
		return take_body(request, data, size);
	if (request->whole)
		return MHD_YES;			/* still waits for its answer */
	if (request->received > request->public.route->max_body)
	{
		counts.too_large++;
		return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE, NULL);
	}
	request->public.body = request->body ? request->body : "";
	request->public.body_len = request->received;
	request->whole = request->unanswered = true;
	dlist_push_tail(&complete, &request->node);
	exact_client_busy(request->client);
	return MHD_YES;
}

ExactRequest *
exact_http_server_next(void)
{
	Request    *request;

	if (dlist_is_empty(&complete))
		return NULL;
	request = dlist_container(Request, node, dlist_pop_head_node(&complete));
	dlist_push_tail(&taken, &request->node);
	return &request->public;
}

void
exact_http_server_hold(ExactRequest *public)
{
	Request    *request = (Request *) public;

	Assert(request->unanswered && !request->suspended);
	request->suspended = true;
	MHD_suspend_connection(request->connection);
}

static bool
names_hub(const ExactReply *reply)
{
	return reply->hub != NULL && reply->hub[0] != '\0';
}

/* A place is for notifications: whoever asks for other things does not keep it. */
static void
mind_end(Request *request, const ExactReply *reply)
{
	if (request->public.route->brief ||
		(!reply->notification && exact_client_idles(request->client)))
		request->close = true;
}

/* Nothing in it but the status: the response that is made once will do. */
static bool
is_plain(const Request *request, const ExactReply *reply)
{
	return reply->body == NULL && reply->retry_after == 0 && !names_hub(reply) &&
		reply->location == NULL && !request->close && reply->status != MHD_HTTP_UNAUTHORIZED;
}

static struct MHD_Response *
response_of(const Request *request, const ExactReply *reply)
{
	struct MHD_Response *response;

	if (reply->body != NULL)
		response = make_response(reply->body, reply->len, reply->type, reply->style_hash);
	else
		response = make_response("", 0, reply->type, reply->style_hash);
	if (response == NULL)
		return NULL;
	if (reply->retry_after > 0)
	{
		char		seconds[16];

		snprintf(seconds, sizeof(seconds), "%d", reply->retry_after);
		add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
	}
	if (names_hub(reply))
		add_header(response, "X-Exact-Hub", reply->hub);
	if (reply->location)
		add_header(response, MHD_HTTP_HEADER_LOCATION, reply->location);
	if (request->close)
		add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	if (reply->status == MHD_HTTP_UNAUTHORIZED && request->public.route->token)
	{
		add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
		add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Basic realm=\"status\"");
	}
	return response;
}

/* A reply that cannot be made or queued ends the connection. */
void
exact_http_server_answer(ExactRequest *public, const ExactReply *reply)
{
	Request    *request = (Request *) public;
	bool		plain;
	struct MHD_Response *response;

	Assert(request->unanswered);
	mind_end(request, reply);
	plain = is_plain(request, reply);
	request->unanswered = false;
	dlist_delete(&request->node);
	free(request->body);
	request->body = NULL;
	exact_client_wait(request->client);
	response = plain ? empty_response() : response_of(request, reply);
	if (response == NULL ||
		MHD_queue_response(request->connection, reply->status, response) != MHD_YES)
		exact_client_shut(request->client);
	if (response != NULL && !plain)
		MHD_destroy_response(response);
	if (request->suspended)
		MHD_resume_connection(request->connection);
	request->suspended = false;
}

/* ---- the daemon ---- */

static void
on_ready(int fd, uint32 events pg_attribute_unused())
{
	if (fd != server_fd)
		accept_some(fd);
}

/* Whoever still arrives after a run was refused: the library closed the socket without telling. */
static enum MHD_Result
run_once(void)
{
	enum MHD_Result result = MHD_run(server);

	while (!dlist_is_empty(&arriving))
		exact_client_free(dlist_container(ExactClient, arrival, dlist_pop_head_node(&arriving)));
	return result;
}

/*
 * Lets the library do what it can: resumed and new connections are not announced by its descriptor,
 * but by a timeout of 0. A request that waits is answered first.
 */
static void
run_server(void)
{
	for (int i = 0; i < RUNS_AT_ONCE && dlist_is_empty(&complete); i++)
	{
		MHD_UNSIGNED_LONG_LONG timeout;

		if (run_once() != MHD_YES ||
			MHD_get_timeout(server, &timeout) != MHD_YES || timeout > 0)
			return;
	}
}

long
exact_http_server_run(void)
{
	MHD_UNSIGNED_LONG_LONG timeout;

	if (server == NULL)
		return -1;
	exact_evloop_dispatch();
	if (accept_again != 0 && !exact_clock_ahead(accept_again, ACCEPT_PAUSE_MS))
		watch_sockets(true);
	counts.timeouts += exact_client_expire();
	run_server();

	if (!dlist_is_empty(&complete) ||
		(MHD_get_timeout(server, &timeout) == MHD_YES && timeout == 0))
		return 0;
	return accept_again != 0 ? ACCEPT_PAUSE_MS : exact_client_timeout();
}

const ExactHttpServerCounts *
exact_http_server_counts(void)
{
	counts.connections = exact_client_count();
	counts.over_limit = turned_away + exact_client_evicted();
	return &counts;
}

void
exact_http_server_stop(void)
{
	if (server == NULL)
		return;
	stopping = true;
	exact_listen_close();
	while (exact_http_server_next() != NULL)
		;
	while (!dlist_is_empty(&taken))
	{
		Request    *request = dlist_container(Request, node, dlist_head_node(&taken));
		ExactReply	reply = {
			.status = MHD_HTTP_SERVICE_UNAVAILABLE, .retry_after = STOPPING_RETRY_S
		};

		request->close = true;
		exact_http_server_answer(&request->public, &reply);
	}
	run_server();
}

/*
 * The library without a thread and without a socket of its own: its limits are off, ours are those
 * of client.c.
 */
static void
start_server(void)
{
	const union MHD_DaemonInfo *info;

	server = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_SUSPEND_RESUME,
							  0, NULL, NULL, on_request, NULL,
							  MHD_OPTION_CONNECTION_LIMIT, (unsigned int) INT_MAX,
							  MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) POOL_BYTES,
							  MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int) 0,
							  MHD_OPTION_STRICT_FOR_CLIENT, (int) STRICT_LEVEL,
							  MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL,
							  MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
							  MHD_OPTION_URI_LOG_CALLBACK, on_target, NULL,
							  MHD_OPTION_SIGPIPE_HANDLED_BY_APP, (int) 1,
							  MHD_OPTION_END);
	info = server ? MHD_get_daemon_info(server, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (info == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not start libmicrohttpd")));
	server_fd = info->epoll_fd;
	cuts_blanks = LIBRARY_IS_FROM("1.0");
	ReserveExternalFD();
	exact_evloop_set_handler(on_ready);
	if (exact_evloop_watch(server_fd, EPOLLIN) != 0)
		ereport(ERROR,
				(errcode_for_socket_access(),
				 errmsg("could not watch the sockets of the listener: %m")));
}

bool
exact_http_server_open(const char *addresses, int port, const ExactRoute *served, char **why)
{
	if (!exact_listen_open(addresses, port, why))
		return false;
	if (server == NULL)
	{
		routes = served;
		start_server();
	}
	watch_sockets(true);
	return true;
}
