/*
 * ask.c - a backend asks a worker of its database and waits on its latch.
 *
 * The question lies in a dynamic shared memory segment that the backend makes, its handle in the worker's slot; the answer comes
 * through a message queue in the same segment. Either side may vanish at any moment: the segment's detach tells the other.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
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

#include "ask.h"
#include "compat.h"
#include "errors.h"
#include "shmem.h"

#define QUESTION_MAGIC 0x45584151
#define QUESTION_MAX (8 * 1024 * 1024)	/* bytes of op and arguments */
#define ANSWER_QUEUE 65536
#define START_WAIT_MS 5000		/* for a worker that is just starting */
#define ANSWER_WAIT_MS 150000
#define LOOK_MS 500				/* does the worker still live? */

#define ANSWER_TEXT 'A'
#define ANSWER_FAULT 'F'

typedef struct Question
{
	uint32		magic;
	Oid			user;
	pg_atomic_uint32 gone;		/* 1 = the asker does not wait any more */
	int			nargs;
	Size		texts_len;		/* op and arguments: a byte 0 (null) or 1, then the NUL-terminated text */
	Size		queue_offset;
	char		texts[FLEXIBLE_ARRAY_MEMBER];
} Question;

struct ExactAsk
{
	dlist_node	node;
	MemoryContext context;		/* of all that follows and of this */
	dsm_segment *segment;
	Question   *question;
	shm_mq_handle *queue;
	const char *op;
	const char **args;
	StringInfoData answer;
	bool		answered;
};

/* Worker side: questions taken and not yet fully answered */
static dlist_head asks = DLIST_STATIC_INIT(asks);

PG_FUNCTION_INFO_V1(exact__ask);

/* ---- worker side ---- */

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

Oid
exact_ask_user(const ExactAsk *ask)
{
	return ask->question->user;
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
	return shm_mq_send(ask->queue, ask->answer.len, ask->answer.data, true, true) != SHM_MQ_WOULD_BLOCK;
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
	begin_answer(ask, ANSWER_TEXT);
	appendBinaryStringInfo(&ask->answer, text, len);
	if (send_answer(ask))
		free_ask(ask);
}

void
exact_ask_fail(ExactAsk *ask, const ExactFault *fault)
{
	const char *texts[] = {fault->message, fault->detail, fault->hint};

	begin_answer(ask, ANSWER_FAULT);
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
exact_ask_failf(ExactAsk *ask, int sqlstate, const char *detail, const char *hint, const char *fmt,...)
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

/* Reads the texts of a question; the segment was made by this server's own code, but a wrong length must not run off it. */
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

/* NULL when the asker has gone meanwhile */
static ExactAsk *
take_question(dsm_handle handle)
{
	dsm_segment *segment = dsm_attach(handle);
	Question   *question;
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
	if (question->magic == QUESTION_MAGIC && read_texts(ask))
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

static ExactWorkerSlot *
own_slot(ExactRole role)
{
	ExactDatabaseSlot *db = exact_shmem_database(MyDatabaseId);

	return db ? &db->workers[role] : NULL;
}

int
exact_ask_take(void (*serve) (ExactAsk *ask), const ExactFault *refuse)
{
	dsm_handle	handles[EXACT_MAX_QUESTIONS];
	ExactWorkerSlot *slot;
	ExactRole	role;
	int			n = 0;

	if (!exact_role_by_name(exact_worker_name(), &role))
		return 0;
	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	slot = own_slot(role);
	if (slot)
	{
		n = slot->nquestions;
		memcpy(handles, slot->questions, sizeof(dsm_handle) * n);
		slot->nquestions = 0;
	}
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

/* ---- asking side ---- */

static void
mark_gone(dsm_segment *segment, Datum arg pg_attribute_unused())
{
	Question   *question = dsm_segment_address(segment);

	pg_atomic_write_u32(&question->gone, 1);
}

static void
append_text(StringInfo texts, const char *text)
{
	appendStringInfoChar(texts, text != NULL);
	if (text)
		appendStringInfoString(texts, text);
	appendStringInfoChar(texts, '\0');
}

static dsm_segment *
make_question(const char *op, ArrayType *args, shm_mq_handle **queue)
{
	StringInfoData texts;
	Datum	   *values;
	bool	   *nulls;
	int			nargs;
	Size		queue_offset;
	dsm_segment *segment;
	Question   *question;
	shm_mq	   *mq;

	initStringInfo(&texts);
	append_text(&texts, op);
	deconstruct_array(args, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &nargs);
	for (int i = 0; i < nargs; i++)
		append_text(&texts, nulls[i] ? NULL : TextDatumGetCString(values[i]));
	if (texts.len > QUESTION_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a question to a worker holds at most %d bytes", QUESTION_MAX)));

	queue_offset = MAXALIGN(offsetof(Question, texts) + texts.len);
	segment = dsm_create(queue_offset + ANSWER_QUEUE, 0);
	question = dsm_segment_address(segment);
	question->magic = QUESTION_MAGIC;
	question->user = GetUserId();
	pg_atomic_init_u32(&question->gone, 0);
	question->nargs = nargs;
	question->texts_len = texts.len;
	question->queue_offset = queue_offset;
	memcpy(question->texts, texts.data, texts.len);
	mq = shm_mq_create((char *) question + queue_offset, ANSWER_QUEUE);
	shm_mq_set_receiver(mq, MyProc);
	*queue = shm_mq_attach(mq, segment, NULL);
	on_dsm_detach(segment, mark_gone, (Datum) 0);
	return segment;
}

static void
wait_ms(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Hands the question to the worker; returns its pid. Waits a little for one that is just starting. */
static int
hand_over(ExactRole role, dsm_segment *segment)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), START_WAIT_MS);
	char		reason[EXACT_REASON_LEN];

	for (;;)
	{
		ExactWorkerSlot *slot;
		int			pid = 0;
		bool		full = false;

		LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
		slot = own_slot(role);
		if (slot == NULL)
			strcpy(reason, "the launcher has not found the extension in this database yet");
		else if (slot->pid == 0)
			strcpy(reason, slot->reason[0] ? slot->reason : "it is starting");
		else if (slot->nquestions == EXACT_MAX_QUESTIONS)
			full = true;
		else
		{
			pid = slot->pid;
			slot->questions[slot->nquestions++] = dsm_segment_handle(segment);
			exact_set_proc_latch(slot->proc_number);
		}
		LWLockRelease(exact_shared_lock);

		if (pid != 0)
			return pid;
		if (deadline <= GetCurrentTimestamp())
		{
			if (full)
				ereport(ERROR,
						(errcode(ERRCODE_EXACT_WORKER_GONE),
						 errmsg("the %s of this database is busy", exact_role_name(role)),
						 errdetail("%d questions wait for it.", EXACT_MAX_QUESTIONS),
						 errhint("Try again; SELECT * FROM exact.workers shows what it does.")));
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_NOT_PRELOADED),
					 errmsg("the %s of this database does not run", exact_role_name(role)),
					 errdetail("%s.", reason),
					 errhint("SELECT * FROM exact.workers; the server log has the reason in lines with \"exact launcher\".")));
		}
		wait_ms(50);
	}
}

static bool
worker_lives(ExactRole role, int pid)
{
	ExactWorkerSlot *slot;
	bool		lives;

	LWLockAcquire(exact_shared_lock, LW_SHARED);
	slot = own_slot(role);
	lives = slot != NULL && slot->pid == pid;
	LWLockRelease(exact_shared_lock);
	return lives;
}

/* The answer's bytes, in the queue's memory: valid until the segment is detached. */
static char *
receive_answer(ExactRole role, int pid, shm_mq_handle *queue, Size *len)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ANSWER_WAIT_MS);

	for (;;)
	{
		void	   *data;
		shm_mq_result result = shm_mq_receive(queue, len, &data, true);

		if (result == SHM_MQ_SUCCESS)
			return data;
		if (result == SHM_MQ_DETACHED || !worker_lives(role, pid))
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_WORKER_GONE),
					 errmsg("the %s ended while it was asked", exact_role_name(role)),
					 errhint("The launcher starts it again by itself; try again in a moment.")));
		if (deadline <= GetCurrentTimestamp())
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_WORKER_GONE),
					 errmsg("the %s did not answer within %d s", exact_role_name(role), ANSWER_WAIT_MS / 1000),
					 errhint("SELECT * FROM exact.workers shows what it does.")));
		wait_ms(LOOK_MS);
	}
}

/* Texts of a fault may quote what a service said. */
static void
make_printable(char *data, Size len)
{
	if (pg_verify_mbstr(GetDatabaseEncoding(), data, len, true))
		return;
	for (Size i = 0; i < len; i++)
	{
		if (IS_HIGHBIT_SET(data[i]))
			data[i] = '?';
	}
}

static void
raise_fault(char *data, Size len)
{
	const char *end = data + len;
	const char *texts[3] = {"", "", ""};
	int			sqlstate;

	memcpy(&sqlstate, data, sizeof(sqlstate));
	data += sizeof(sqlstate);
	for (int i = 0; i < 3 && data < end; i++)
	{
		make_printable(data, strlen(data));
		texts[i] = data;
		data += strlen(data) + 1;
	}
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("%s", texts[0]),
			 texts[1][0] ? errdetail("%s", texts[1]) : 0,
			 texts[2][0] ? errhint("%s", texts[2]) : 0));
}

/*
 * exact._ask(worker text, op text, VARIADIC args text[]) → text
 *
 * Raises EX001 when the worker does not run, EX002 when it ends or is silent for 150 s, and whatever the worker answers as a fault.
 */
Datum
exact__ask(PG_FUNCTION_ARGS)
{
	char	   *worker;
	ExactRole	role;
	shm_mq_handle *queue;
	dsm_segment *segment;
	char	   *data;
	Size		len;
	int			pid;
	text	   *answer;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("worker, op and arguments must not be null")));
	worker = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (!exact_role_by_name(worker, &role))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no worker \"%s\"", worker),
				 errhint("Workers are fetcher, loader and listener.")));
	if (exact_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXACT_NOT_PRELOADED),
				 errmsg("the workers of exact_databricks do not run in this server"),
				 errdetail("The library is not in shared_preload_libraries."),
				 errhint("Add exact_databricks to shared_preload_libraries in postgresql.conf and restart the server.")));

	segment = make_question(text_to_cstring(PG_GETARG_TEXT_PP(1)), PG_GETARG_ARRAYTYPE_P(2), &queue);
	pid = hand_over(role, segment);
	data = receive_answer(role, pid, queue, &len);
	if (len < 1 || (data[0] != ANSWER_TEXT && len < 1 + sizeof(int)))
		elog(ERROR, "the %s gave an empty answer", worker);
	if (data[0] == ANSWER_FAULT)
	{
		char	   *copy = palloc(len);

		memcpy(copy, data + 1, len - 1);
		copy[len - 1] = '\0';
		dsm_detach(segment);
		raise_fault(copy, len - 1);
	}
	pg_verifymbstr(data + 1, len - 1, false);
	answer = cstring_to_text_with_len(data + 1, len - 1);
	dsm_detach(segment);
	PG_RETURN_TEXT_P(answer);
}
