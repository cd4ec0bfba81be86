/*
 * http_client.c - asynchronous HTTPS requests of a worker; with http_transfer.c and url.c the only
 * files that know libcurl.
 *
 * libcurl tells which sockets and which timer it wants, evloop.c waits, exact_http_run moves
 * everything on. While libcurl is on the stack nothing throws and all signals are blocked: its
 * resolver starts threads, which inherit the mask and so never run a handler of this process.
 */
#include "postgres.h"

#include <signal.h>
#include <sys/epoll.h>

#include "lib/ilist.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/evloop.h"
#include "http/http_client.h"
#include "http/http_transfer.h"
#include "http/url.h"

#define MAX_ACTIVE 48			/* transfers at once; others wait, and their time does not run */

static CURLM *multi = NULL;
static MemoryContext http_context = NULL;
static dlist_head queued = DLIST_STATIC_INIT(queued);
static dlist_head active = DLIST_STATIC_INIT(active);
static dlist_head finished = DLIST_STATIC_INIT(finished);
static int	nactive = 0;
static int	nqueued = 0;
static int64 timer_ms = -1;		/* when libcurl wants to be called, monotonic; -1 = not */

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
on_socket(CURL *easy pg_attribute_unused(), curl_socket_t fd, int what,
		  void *arg pg_attribute_unused(), void *socket_arg pg_attribute_unused())
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
	timer_ms = timeout_ms < 0 ? -1 : exact_clock_monotonic_ms() + timeout_ms;
	return 0;
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
	/* libcurl would write the keys of each TLS connection into the file that this names */
	unsetenv("SSLKEYLOGFILE");
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
free_transfer(ExactHttpTransfer *t)
{
	sigset_t	saved;

	block_signals(&saved);
	exact_http_transfer_free(t);
	restore_signals(&saved);
}

static void
finish(ExactHttpTransfer *t)
{
	t->ended_ms = exact_clock_monotonic_ms();
	t->state = EXACT_TRANSFER_FINISHED;
	dlist_push_tail(&finished, &t->node);
}

/* Lets waiting transfers begin; signals are blocked. */
static void
admit(void)
{
	while (nactive < MAX_ACTIVE && !dlist_is_empty(&queued))
	{
		ExactHttpTransfer *t;

		t = dlist_container(ExactHttpTransfer, node, dlist_pop_head_node(&queued));
		nqueued--;
		t->started_ms = exact_clock_monotonic_ms();
		if (curl_multi_add_handle(multi, t->easy) != CURLM_OK)
		{
			t->result = CURLE_OUT_OF_MEMORY;
			finish(t);
			continue;
		}
		t->state = EXACT_TRANSFER_ACTIVE;
		nactive++;
		dlist_push_tail(&active, &t->node);
	}
}

/*
 * A transfer is always made, also for a host that is refused or when memory is short: it then ends
 * at once, so that the caller hears of every end in the same way.
 */
ExactHttpTransfer *
exact_http_start(const ExactHttpRequest *request, ExactHttpDone done, void *arg)
{
	MemoryContext old = MemoryContextSwitchTo(http_context);
	ExactHttpTransfer *t = palloc0(sizeof(ExactHttpTransfer));
	sigset_t	saved;
	char	   *url;

	t->done = done;
	t->arg = arg;
	t->started_ms = exact_clock_monotonic_ms();

	url = exact_url_check(request->url, request->own, &t->private_too, &t->refusal);
	block_signals(&saved);
	if (url == NULL)
		finish(t);
	else if (!exact_http_transfer_prepare(t, request, url))
	{
		t->out_of_memory = true;
		finish(t);
	}
	else
	{
		t->state = EXACT_TRANSFER_QUEUED;
		nqueued++;
		dlist_push_tail(&queued, &t->node);
		admit();
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

	if (t->state == EXACT_TRANSFER_CALLING)
		return;					/* freed when its done returns */
	dlist_delete(&t->node);
	if (t->state == EXACT_TRANSFER_QUEUED)
		nqueued--;
	if (t->state == EXACT_TRANSFER_ACTIVE)
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
	return timer_ms < 0 ? -1 : (long) Max(timer_ms - exact_clock_monotonic_ms(), 0);
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

/* Calls done of one ended transfer and frees it. */
static void
deliver(ExactHttpTransfer *t)
{
	ExactHttpResponse response;
	MemoryContext context;
	MemoryContext old;

	context = AllocSetContextCreate(http_context, "exact http done", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	exact_http_transfer_answer(t, &response);
	t->state = EXACT_TRANSFER_CALLING;
	t->done(&response, t->arg);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	free_transfer(t);
}

/*
 * libcurl first, with signals blocked; then done of what has ended, with nothing of libcurl
 * running.
 */
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
		if (timer_ms >= 0 && timer_ms <= exact_clock_monotonic_ms())
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
