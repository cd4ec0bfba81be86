/*
 * arena.h - memory of a fuzz target: what palloc() gave is gone after each input, as a memory
 * context is after each request. Every piece is one of malloc's, so that the sanitizers see each
 * byte beyond it.
 */
#ifndef EXACT_FUZZ_ARENA_H
#define EXACT_FUZZ_ARENA_H

#include <sanitizer/asan_interface.h>

typedef struct Piece
{
	struct Piece *next;
	struct Piece *previous;
	size_t		size;
	size_t		fill;			/* what follows is aligned to 16 bytes */
} Piece;

static Piece arena = {&arena, &arena, 0, 0};

void *
palloc(Size size)
{
	Piece	   *piece = malloc(sizeof(Piece) + size);

	if (piece == NULL)
		abort();
	piece->size = size;
	piece->next = arena.next;
	piece->previous = &arena;
	if (arena.next != &arena)
		ASAN_UNPOISON_MEMORY_REGION(arena.next, sizeof(Piece));
	arena.next->previous = piece;
	if (piece->next != &arena)
		ASAN_POISON_MEMORY_REGION(piece->next, sizeof(Piece));
	arena.next = piece;
	ASAN_POISON_MEMORY_REGION(piece, sizeof(Piece));
	return piece + 1;
}

void
pfree(void *pointer)
{
	Piece	   *piece = (Piece *) pointer - 1;
	Piece	   *next;
	Piece	   *previous;

	ASAN_UNPOISON_MEMORY_REGION(piece, sizeof(Piece));
	next = piece->next;
	previous = piece->previous;
	ASAN_UNPOISON_MEMORY_REGION(next, sizeof(Piece));
	ASAN_UNPOISON_MEMORY_REGION(previous, sizeof(Piece));
	next->previous = previous;
	previous->next = next;
	if (next != &arena)
		ASAN_POISON_MEMORY_REGION(next, sizeof(Piece));
	if (previous != &arena)
		ASAN_POISON_MEMORY_REGION(previous, sizeof(Piece));
	free(piece);
}

static void
arena_reset(void)
{
	while (arena.next != &arena)
		pfree(arena.next + 1);
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void *
palloc_extended(Size size, int flags)
{
	return (flags & 0x04) ? palloc0(size) : palloc(size);	/* MCXT_ALLOC_ZERO */
}

void *
repalloc(void *pointer, Size size)
{
	Piece	   *piece = (Piece *) pointer - 1;
	void	   *copy = palloc(size);
	size_t		old;

	ASAN_UNPOISON_MEMORY_REGION(piece, sizeof(Piece));
	old = piece->size;
	ASAN_POISON_MEMORY_REGION(piece, sizeof(Piece));
	memcpy(copy, pointer, Min(old, size));
	pfree(pointer);
	return copy;
}

char *
pnstrdup(const char *text, Size len)
{
	size_t		n = strnlen(text, len);
	char	   *copy = palloc(n + 1);

	memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}

char *
pstrdup(const char *text)
{
	return pnstrdup(text, strlen(text));
}

/* Says what does not hold and stops the fuzzer with the input that showed it. */
#define HOLDS(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
