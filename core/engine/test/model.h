/* SPDX-License-Identifier: MIT */
/*
 * A tiny exhaustive explorer: every interleaving of a few threads under total store order.
 *
 * Each thread has a queue of stores that memory has not seen yet, as an x86 processor has: a plain
 * store goes into it, a load looks there first, and at any time its oldest store may reach memory.
 * A fence or a locked instruction waits until it is empty. A model is a function that makes a
 * thread's next instruction; model_explore walks depth first through all states that can be
 * reached, each once, and counts those that break what the model says must hold. It explores the
 * algorithm as written down in the model, not the compiled code. (Owens, Sarkar, Sewell: A Better
 * x86 Memory Model: x86-TSO, TPHOLs 2009.)
 */
#ifndef SHUNT_ENGINE_MODEL_H
#define SHUNT_ENGINE_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef MODEL_THREADS /* a model with more says so before */
#define MODEL_THREADS 3
#endif

enum { MODEL_VARIABLES = 8, MODEL_STORES = 4, MODEL_REGISTERS = 6 };

/* Bytes only, so that states can be compared and hashed as memory. */
struct model_thread {
	int8_t at, reg[MODEL_REGISTERS];
	int8_t stores, variable[MODEL_STORES], value[MODEL_STORES];
};

struct model_state {
	int8_t memory[MODEL_VARIABLES];
	int8_t taken[MODEL_VARIABLES]; /* the model's own account */
	struct model_thread thread[MODEL_THREADS];
};

struct model {
	int threads;
	/* Makes the thread's next instruction. False: it has ended, or must wait. */
	bool (*step)(struct model_state *state, struct model_thread *self, int mistake);
	/* Does the state break the rule? ended: no thread can go on. */
	bool (*broken)(const struct model_state *state, bool ended);
	int mistake; /* 0: none; else which one the model is to make */
	bool first;  /* the first state that breaks the rule is enough */
};

struct model_search {
	const struct model *model;
	struct model_state *seen; /* open addressing; a slot whose first thread is at -1 is free */
	size_t slots, states, broken, ends;
};

/* ---- what an instruction may do -------------------------------------------------------------- */

static inline bool model_drained(const struct model_thread *self)
{
	return self->stores == 0;
}

static inline void model_store(struct model_thread *self, int variable, int value)
{
	self->variable[self->stores] = (int8_t)variable;
	self->value[self->stores++] = (int8_t)value;
}

static inline int8_t model_load(const struct model_state *state, const struct model_thread *self,
	int variable)
{
	for (int i = self->stores - 1; i >= 0; i--)
		if (self->variable[i] == variable)
			return self->value[i];
	return state->memory[variable];
}

/* ---- the search ------------------------------------------------------------------------------ */

static inline void model_flush(struct model_state *state, struct model_thread *self)
{
	state->memory[self->variable[0]] = self->value[0];
	self->stores--;
	memmove(self->variable, self->variable + 1, MODEL_STORES - 1);
	memmove(self->value, self->value + 1, MODEL_STORES - 1);
	/* What is no longer in the queue must not make two equal states differ. */
	self->variable[self->stores] = self->value[self->stores] = 0;
}

static inline uint64_t model_hash(const struct model_state *state)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
	for (size_t i = 0; i < sizeof(*state); i++)
		hash = (hash ^ ((const uint8_t *)state)[i]) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

static inline bool model_free_slot(const struct model_state *slot)
{
	return slot->thread[0].at == -1;
}

static inline void model_grow(struct model_search *search);

/* True: the state is new, and now noted. */
static inline bool model_note(struct model_search *search, const struct model_state *state)
{
	if (2 * search->states >= search->slots)
		model_grow(search);
	size_t i = model_hash(state) & (search->slots - 1);
	for (; !model_free_slot(&search->seen[i]); i = (i + 1) & (search->slots - 1))
		if (!memcmp(&search->seen[i], state, sizeof(*state)))
			return false;
	search->seen[i] = *state;
	search->states++;
	return true;
}

static inline void model_grow(struct model_search *search)
{
	struct model_state *old = search->seen;
	size_t slots = search->slots;
	search->slots = slots ? slots * 2 : 1024;
	search->seen = malloc(search->slots * sizeof(*old));
	if (!search->seen)
		abort();
	for (size_t i = 0; i < search->slots; i++)
		search->seen[i].thread[0].at = -1;
	search->states = 0;
	for (size_t i = 0; i < slots; i++)
		if (!model_free_slot(&old[i]))
			model_note(search, &old[i]);
	free(old);
}

static inline void model_visit(struct model_search *search, const struct model_state *state)
{
	const struct model *model = search->model;
	if ((model->first && search->broken) || !model_note(search, state))
		return;
	bool moved = false;
	for (int i = 0; i < model->threads; i++) {
		struct model_state next = *state;
		if (next.thread[i].stores) {
			model_flush(&next, &next.thread[i]);
			model_visit(search, &next);
			moved = true;
			next = *state;
		}
		/* With its queue full a processor waits; an instruction stores once at most. */
		if (next.thread[i].stores < MODEL_STORES &&
			model->step(&next, &next.thread[i], model->mistake)) {
			model_visit(search, &next);
			moved = true;
		}
	}
	search->ends += !moved;
	search->broken += model->broken(state, !moved);
}

/* From all zero, through every state that can be reached. */
static inline struct model_search model_explore(const struct model *model)
{
	struct model_search search = {.model = model};
	struct model_state start;
	memset(&start, 0, sizeof(start));
	model_visit(&search, &start);
	free(search.seen);
	search.seen = NULL;
	return search;
}

#endif
