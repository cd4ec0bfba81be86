/*
 * asker.c - asks a worker of this database: a backend waits on its latch (exact._ask), the listener
 * looks each turn.
 *
 * The question lies in a dynamic shared memory segment, its handle in the worker's slot; ask.c is
 * the other side. When the asker goes, its segment's detach tells the worker.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/shm_mq.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/fault.h"
#include "base/words.h"
#include "worker/ask_question.h"
#include "worker/asker.h"
#include "worker/role.h"
#include "worker/shmem.h"

#define QUESTION_MAX (8 * 1024 * 1024)	/* bytes of op and arguments */
#define ANSWER_QUEUE 65536
#define START_WAIT_MS 5000		/* for a worker that is just starting, or busy */
#define START_LOOK_MS 50		/* has it started? */
#define ANSWER_WAIT_MS 150000
#define LOOK_MS 500				/* does the worker still live? */

struct ExactAsking
{
	ExactRole	role;
	dsm_segment *segment;
	ExactQuestion *question;
	shm_mq_handle *queue;
	int			pid;			/* of the worker that has it; 0 = not handed over */
	TimestampTz deadline;
	TimestampTz lost_at;		/* the worker ended and had not taken it; 0 = no */
};

PG_FUNCTION_INFO_V1(exact__ask);

static void
mark_gone(dsm_segment *segment, Datum arg pg_attribute_unused())
{
	ExactQuestion *question = dsm_segment_address(segment);

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

/* The segment: the question, then the queue of the answer. */
ExactAsking *
exact_asking_new(ExactRole role, const char *op, const char *user, int nargs,
				 const char *const *args)
{
	ExactAsking *asking = palloc0(sizeof(ExactAsking));
	StringInfoData texts;
	ExactQuestion *question;
	Size		queue_offset;
	shm_mq	   *mq;

	initStringInfo(&texts);
	append_text(&texts, op);
	for (int i = 0; i < nargs; i++)
		append_text(&texts, args[i]);
	if (texts.len > QUESTION_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a question to a worker holds at most %d bytes", QUESTION_MAX)));

	queue_offset = MAXALIGN(offsetof(ExactQuestion, texts) + texts.len);
	asking->role = role;
	asking->segment = dsm_create(queue_offset + ANSWER_QUEUE, 0);
	asking->question = question = dsm_segment_address(asking->segment);
	question->magic = EXACT_QUESTION_MAGIC;
	strlcpy(question->user, user ? user : "", sizeof(question->user));
	pg_atomic_init_u32(&question->gone, 0);
	question->nargs = nargs;
	question->texts_len = texts.len;
	question->queue_offset = queue_offset;
	memcpy(question->texts, texts.data, texts.len);
	pfree(texts.data);
	mq = shm_mq_create((char *) question + queue_offset, ANSWER_QUEUE);
	shm_mq_set_receiver(mq, MyProc);
	asking->queue = shm_mq_attach(mq, asking->segment, NULL);
	on_dsm_detach(asking->segment, mark_gone, (Datum) 0);
	return asking;
}

/* The worker's slot in this database; the lock is held. */
static ExactWorkerSlot *
worker_slot(ExactRole role)
{
	ExactDatabaseSlot *db = exact_shmem_database(MyDatabaseId);

	return db ? &db->workers[role] : NULL;
}

/* A worker that is just starting has no reason to give. */
bool
exact_asking_start(ExactAsking *asking, bool *busy, char **why)
{
	char		reason[EXACT_REASON_LEN] = "";
	ExactWorkerSlot *slot;
	bool		full = false;

	LWLockAcquire(exact_shared_lock, LW_EXCLUSIVE);
	slot = worker_slot(asking->role);
	if (slot == NULL)
		strlcpy(reason, "the launcher has not found the extension in this database yet",
				sizeof(reason));
	else if (slot->pid == 0)
		strlcpy(reason, slot->reason[0] ? slot->reason : "it is starting", sizeof(reason));
	else if (slot->nquestions == EXACT_MAX_QUESTIONS)
		full = true;
	else
	{
		asking->pid = slot->pid;
		slot->questions[slot->nquestions++] = dsm_segment_handle(asking->segment);
		exact_set_proc_latch(slot->proc_number);
	}
	LWLockRelease(exact_shared_lock);

	if (asking->deadline == 0)
		asking->deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ANSWER_WAIT_MS);
	if (busy)
		*busy = full;
	if (why)
		*why = pstrdup(reason);
	return asking->pid != 0;
}

static bool
worker_lives(const ExactAsking *asking)
{
	ExactWorkerSlot *slot;
	bool		lives;

	LWLockAcquire(exact_shared_lock, LW_SHARED);
	slot = worker_slot(asking->role);
	lives = slot != NULL && asking->pid != 0 && slot->pid == asking->pid;
	LWLockRelease(exact_shared_lock);
	return lives;
}

/*
 * The worker ended. When it had not taken the question nothing of it was done, and the next worker
 * gets it: true while that may still come. The caller looked for an answer after the worker's end.
 */
static bool
hand_on(ExactAsking *asking)
{
	shm_mq	   *queue = shm_mq_get_queue(asking->queue);
	TimestampTz now = GetCurrentTimestamp();

	if (shm_mq_get_sender(queue) != NULL)
		return false;
	if (asking->lost_at == 0)
		asking->lost_at = now;
	asking->pid = 0;
	if (exact_asking_start(asking, NULL, NULL))
		asking->lost_at = 0;
	return asking->pid != 0 ||
		!TimestampDifferenceExceeds(asking->lost_at, now, START_WAIT_MS);
}

/* Texts may quote what a service said, and may be cut within a character. */
static char *
valid_copy(const char *data)
{
	size_t		len = strlen(data);

	return pstrdup(exact_words_valid(data, &len));
}

static ExactFault *
make_fault(int sqlstate, const char *message, const char *detail, const char *hint)
{
	return exact_fault_make(sqlstate, valid_copy(message),
							detail[0] ? valid_copy(detail) : NULL,
							hint[0] ? valid_copy(hint) : NULL);
}

static ExactFault *
read_fault(const char *data, Size len)
{
	char	   *copy = palloc(len + 1);
	const char *p = copy;
	const char *texts[3] = {"", "", ""};
	int			sqlstate;

	memcpy(&sqlstate, data, sizeof(sqlstate));
	memcpy(copy, data + sizeof(sqlstate), len - sizeof(sqlstate));
	copy[len - sizeof(sqlstate)] = '\0';
	for (int i = 0; i < 3 && p < copy + len - sizeof(sqlstate); i++)
	{
		texts[i] = p;
		p += strlen(p) + 1;
	}
	return make_fault(sqlstate, texts[0], texts[1], texts[2]);
}

/*
 * A worker that ended is told by its queue, or by another pid in its slot if it never attached. Its
 * slot is looked at first: an answer that came before its end counts.
 */
ExactAskingState
exact_asking_look(ExactAsking *asking, char **text, size_t *len, ExactFault **fault)
{
	const char *name = exact_role_name(asking->role);
	void	   *received;
	Size		size;
	bool		lives = worker_lives(asking);
	shm_mq_result result = shm_mq_receive(asking->queue, &size, &received, true);
	const char *data = received;

	if (result == SHM_MQ_SUCCESS)
	{
		if (size < 1 || (data[0] != EXACT_ANSWER_TEXT && size < 1 + sizeof(int)))
			elog(ERROR, "the %s gave an empty answer", name);
		if (data[0] == EXACT_ANSWER_TEXT)
		{
			*len = size - 1;
			*text = palloc(size);
			memcpy(*text, data + 1, *len);
			(*text)[*len] = '\0';
			return EXACT_ASKING_ANSWERED;
		}
		*fault = read_fault(data + 1, size - 1);
	}
	else if (result != SHM_MQ_DETACHED && !lives && hand_on(asking))
		return EXACT_ASKING_WAITS;
	else if (result == SHM_MQ_DETACHED || !lives)
		*fault = make_fault(ERRCODE_EXACT_WORKER_GONE,
							psprintf("the %s ended while it was asked", name), "",
							"The launcher starts it again by itself; try again in a moment.");
	else if (asking->deadline <= GetCurrentTimestamp())
		*fault = make_fault(ERRCODE_EXACT_WORKER_GONE,
							psprintf("the %s did not answer within %d s", name,
									 ANSWER_WAIT_MS / 1000), "",
							"SELECT * FROM exact.workers shows what it does.");
	else
		return EXACT_ASKING_WAITS;
	return EXACT_ASKING_FAILED;
}

void
exact_asking_free(ExactAsking *asking)
{
	dsm_detach(asking->segment);
	pfree(asking);
}

/* ---- exact._ask ---- */

static void
wait_ms(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Hands the question over; waits a little for a worker that is just starting or has too many. */
static void
hand_over(ExactAsking *asking)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), START_WAIT_MS);
	bool		busy;
	char	   *reason;

	while (!exact_asking_start(asking, &busy, &reason))
	{
		if (deadline <= GetCurrentTimestamp())
		{
			if (busy)
				ereport(ERROR,
						(errcode(ERRCODE_EXACT_WORKER_GONE),
						 errmsg("the %s of this database is busy", exact_role_name(asking->role)),
						 errdetail("%d questions wait for it.", EXACT_MAX_QUESTIONS),
						 errhint("Try again; SELECT * FROM exact.workers shows what it does.")));
			ereport(ERROR,
					(errcode(ERRCODE_EXACT_NOT_PRELOADED),
					 errmsg("the %s of this database does not run", exact_role_name(asking->role)),
					 errdetail("%s.", reason),
					 errhint("SELECT * FROM exact.workers; the server log has the reason"
							 " in lines with \"exact launcher\".")));
		}
		wait_ms(START_LOOK_MS);
	}
}

static ExactAsking *
question_of(ExactRole role, const char *op, ArrayType *args)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;
	const char **texts;

	deconstruct_array(args, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	texts = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
		texts[i] = nulls[i] ? NULL : TextDatumGetCString(values[i]);
	return exact_asking_new(role, op, GetUserNameFromId(GetSessionUserId(), false), n, texts);
}

/*
 * exact._ask(worker text, op text, VARIADIC args text[]) → text
 *
 * Raises EX001 when the worker does not run, EX002 when it ends or is silent for 150 s, and
 * whatever the worker answers as a fault.
 */
Datum
exact__ask(PG_FUNCTION_ARGS)
{
	char	   *worker;
	ExactRole	role;
	ExactAsking *asking;
	ExactAskingState state;
	char	   *answer = NULL;
	size_t		len = 0;
	ExactFault *fault = NULL;

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
	exact_shmem_require();

	asking = question_of(role, text_to_cstring(PG_GETARG_TEXT_PP(1)), PG_GETARG_ARRAYTYPE_P(2));
	hand_over(asking);
	while ((state = exact_asking_look(asking, &answer, &len, &fault)) == EXACT_ASKING_WAITS)
		wait_ms(asking->pid != 0 ? LOOK_MS : START_LOOK_MS);
	exact_asking_free(asking);
	if (state == EXACT_ASKING_FAILED)
		ereport(ERROR,
				(errcode(fault->sqlstate),
				 errmsg("%s", fault->message),
				 fault->detail ? errdetail("%s", fault->detail) : 0,
				 fault->hint ? errhint("%s", fault->hint) : 0));
	pg_verifymbstr(answer, len, false);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(answer, len));
}
