/*
 * ask.c - the worker's side of questions: takes those that lie in its slot and answers them, now or
 * later.
 *
 * The question lies in a dynamic shared memory segment that the asker (asker.c) made, its handle in
 * the worker's slot; the answer goes through a message queue in the same segment. Either side may
 * vanish at any moment: the segment's detach tells the other.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/shm_mq.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/fault.h"
#include "worker/ask.h"
#include "worker/ask_question.h"
#include "worker/self.h"
#include "worker/shmem.h"
#include "worker/wake.h"

struct ExactAsk
{
	dlist_node	node;
	MemoryContext context;		/* of all that follows and of this */
	dsm_segment *segment;
	ExactQuestion *question;
	shm_mq_handle *queue;
	const char *op;
	const char **args;
	StringInfoData answer;
	bool		answered;
};

/* Questions taken and not yet fully answered */
static dlist_head asks = DLIST_STATIC_INIT(asks);

const char *
exact_ask_op(const ExactAsk *ask)
{
	return ask->op;
}

int
exact_ask_nargs(const ExactAsk *ask)
{
	return ask->question->nargs;
}

const char *
exact_ask_arg(const ExactAsk *ask, int n)
{
	return n >= 0 && n < ask->question->nargs ? ask->args[n] : NULL;
}

const char *
exact_ask_user(const ExactAsk *ask)
{
	return ask->question->user[0] ? ask->question->user : NULL;
}

bool
exact_ask_gone(const ExactAsk *ask)
{
	return pg_atomic_read_u32(&ask->question->gone) != 0;
}

static void
free_ask(ExactAsk *ask)
{
	dlist_delete(&ask->node);
	dsm_detach(ask->segment);
	MemoryContextDelete(ask->context);
}

/* True when the answer is out or nobody waits for it. */
static bool
send_answer(ExactAsk *ask)
{
	return shm_mq_send(ask->queue, ask->answer.len, ask->answer.data, true, true) !=
		SHM_MQ_WOULD_BLOCK;
}

static void
begin_answer(ExactAsk *ask, char kind)
{
	MemoryContext old = MemoryContextSwitchTo(ask->context);

	Assert(!ask->answered);
	ask->answered = true;
	initStringInfo(&ask->answer);
	appendStringInfoChar(&ask->answer, kind);
	MemoryContextSwitchTo(old);
}

void
exact_ask_answer(ExactAsk *ask, const char *text, size_t len)
{
	begin_answer(ask, EXACT_ANSWER_TEXT);
	appendBinaryStringInfo(&ask->answer, text, len);
	if (send_answer(ask))
		free_ask(ask);
}

void
exact_ask_fail(ExactAsk *ask, const ExactFault *fault)
{
	const char *texts[] = {fault->message, fault->detail, fault->hint};

	begin_answer(ask, EXACT_ANSWER_FAULT);
	appendBinaryStringInfo(&ask->answer, (const char *) &fault->sqlstate, sizeof(fault->sqlstate));
	for (size_t i = 0; i < lengthof(texts); i++)
	{
		const char *text = texts[i] ? texts[i] : "";

		appendBinaryStringInfo(&ask->answer, text, strlen(text) + 1);
	}
	if (send_answer(ask))
		free_ask(ask);
}

void
exact_ask_failf(ExactAsk *ask, int sqlstate, const char *detail, const char *hint,
				const char *fmt,...)
{
	char		message[1024];
	ExactFault	fault;
	va_list		args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	fault.sqlstate = sqlstate;
	fault.message = message;
	fault.detail = unconstify(char *, detail);
	fault.hint = unconstify(char *, hint);
	exact_ask_fail(ask, &fault);
}

void
exact_ask_continue(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &asks)
	{
		ExactAsk   *ask = dlist_container(ExactAsk, node, iter.cur);

		if (ask->answered && send_answer(ask))
			free_ask(ask);
	}
}

/*
 * Reads the texts of a question; the segment was made by this server's own code, but a wrong length
 * must not run off it.
 */
static bool
read_texts(ExactAsk *ask)
{
	const char *p = ask->question->texts;
	const char *end = p + ask->question->texts_len;

	ask->args = palloc(sizeof(char *) * Max(ask->question->nargs, 1));
	for (int i = -1; i < ask->question->nargs; i++)
	{
		const char *text = p + 1;
		const char *nul = p < end ? memchr(text, '\0', end - text) : NULL;

		if (nul == NULL)
			return false;
		if (i < 0)
			ask->op = text;
		else
			ask->args[i] = *p ? text : NULL;
		p = nul + 1;
	}
	return true;
}

/*
 * A question in a memory context of its own, which holds everything of it until it is answered.
 * NULL when the asker has gone meanwhile.
 */
static ExactAsk *
take_question(dsm_handle handle)
{
	dsm_segment *segment = dsm_attach(handle);
	ExactQuestion *question;
	MemoryContext context;
	MemoryContext old;
	ExactAsk   *ask;
	shm_mq	   *queue;

	if (segment == NULL)
		return NULL;
	dsm_pin_mapping(segment);
	question = dsm_segment_address(segment);
	context = AllocSetContextCreate(TopMemoryContext, "exact ask", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	ask = palloc0(sizeof(ExactAsk));
	ask->context = context;
	ask->segment = segment;
	ask->question = question;
	dlist_push_tail(&asks, &ask->node);
	if (question->magic == EXACT_QUESTION_MAGIC && read_texts(ask))
	{
		queue = (shm_mq *) ((char *) question + question->queue_offset);
		shm_mq_set_sender(queue, MyProc);
		ask->queue = shm_mq_attach(queue, segment, NULL);
	}
	MemoryContextSwitchTo(old);
	if (ask->queue == NULL || exact_ask_gone(ask))
	{
		free_ask(ask);
		return NULL;
	}
	return ask;
}

/*
 * The handles are copied first: nothing may be attached under the lock. Who asked after the
 * extension changed, or after this process was asked to end, means the process that comes next:
 * what is not taken from the slot goes there.
 */
int
exact_ask_take(void (*serve) (ExactAsk *ask), const ExactFault *refuse)
{
	dsm_handle	handles[EXACT_MAX_QUESTIONS];
	ExactWorkerSlot *slot = exact_self_slot();
	int			n;

	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	if (exact_self_exit_wanted() || (pg_atomic_read_u32(&slot->wake) & EXACT_WAKE_CHECK) != 0)
		n = 0;
	else
		n = slot->nquestions;
	memcpy(handles, slot->questions, sizeof(dsm_handle) * n);
	slot->nquestions -= n;
	LWLockRelease(exact_shared_lock);

	for (int i = 0; i < n; i++)
	{
		ExactAsk   *ask = take_question(handles[i]);

		if (ask == NULL)
			continue;
		if (refuse)
			exact_ask_fail(ask, refuse);
		else
			serve(ask);
	}
	return n;
}
