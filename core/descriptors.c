/* SPDX-License-Identifier: MIT */
/* Descriptors in slabs that are freed only with the whole set, and the text of a deadlock. */
#include "core/descriptors.h"

#include "core/step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_TASKS  64u
#define NAMES_MOST  8u
#define DESCRIPTORS 64u /* alignment of a descriptor, and so of the first in a slab */

struct shunt_descriptor_slab {
	_Alignas(DESCRIPTORS) struct shunt_descriptor_slab *next;
	_Alignas(DESCRIPTORS) unsigned char descriptors[];
};

void shunt_descriptors_init(struct shunt_descriptors *set, struct shunt_sched *sched, size_t bytes)
{
	SHUNT_ASSERT(bytes >= sizeof(struct shunt_task));
	*set = (struct shunt_descriptors){.sched = sched,
		.bytes = (bytes + DESCRIPTORS - 1) / DESCRIPTORS * DESCRIPTORS};
}

void shunt_descriptors_fini(struct shunt_descriptors *set)
{
	while (set->slabs) {
		struct shunt_descriptor_slab *slab = set->slabs;
		set->slabs = slab->next;
		free(slab);
	}
	set->free = NULL;
}

static struct shunt_task *task_at(const struct shunt_descriptors *set,
	struct shunt_descriptor_slab *slab, unsigned i)
{
	return (struct shunt_task *)(void *)(slab->descriptors + i * set->bytes);
}

static bool grow(struct shunt_descriptors *set)
{
	size_t bytes = sizeof(struct shunt_descriptor_slab) + SLAB_TASKS * set->bytes;
	struct shunt_descriptor_slab *slab = aligned_alloc(DESCRIPTORS, bytes);
	if (!slab)
		return false;
	memset(slab, 0, bytes);
	slab->next = set->slabs;
	set->slabs = slab;
	for (unsigned i = SLAB_TASKS; i-- > 0;) {
		struct shunt_task *task = task_at(set, slab, i);
		task->sched = set->sched;
		shunt_word_store(task, SHUNT_GENERATION_FIRST | SHUNT_TASK_FREE);
		task->next = set->free;
		set->free = task;
	}
	return true;
}

struct shunt_task *shunt_descriptor_take(struct shunt_descriptors *set)
{
	if (!set->free && !grow(set))
		return NULL;
	struct shunt_task *task = set->free;
	set->free = task->next;
	return task;
}

void shunt_descriptor_give(struct shunt_descriptors *set, struct shunt_task *task)
{
	uint64_t word = shunt_word_load(task, true);
	uint64_t generation = (word + SHUNT_GENERATION_ONE) & SHUNT_WORD_GENERATION;
	/* A plain store does where many work too: nobody changes the word of an ended task. */
	shunt_word_store(task, (word & SHUNT_WORD_EPOCH) | generation | SHUNT_TASK_FREE);
	if (generation == 0)
		return;
	task->next = set->free;
	set->free = task;
}

void shunt_descriptors_each(struct shunt_descriptors *set,
	void (*visit)(void *arg, struct shunt_task *task), void *arg)
{
	for (struct shunt_descriptor_slab *slab = set->slabs; slab; slab = slab->next)
		for (unsigned i = 0; i < SLAB_TASKS; i++) {
			struct shunt_task *task = task_at(set, slab, i);
			if (shunt_word_state(shunt_word_load(task, true)) != SHUNT_TASK_FREE)
				visit(arg, task);
		}
}

/* ---- deadlock -------------------------------------------------------------------------------- */

void shunt_stuck_add(struct shunt_stuck *stuck, const struct shunt_task *task)
{
	uint64_t state = shunt_word_state(shunt_word_load(task, true));
	if (state < SHUNT_TASK_PARKING || state > SHUNT_TASK_BLOCKED ||
		stuck->named >= NAMES_MOST || stuck->used >= sizeof(stuck->text))
		return;
	const char *what = state <= SHUNT_TASK_PARKED ? "park" : shunt_wait_name(task->wait_what);
	char line[32] = "";
	if (state > SHUNT_TASK_PARKED && task->wait_what >= SHUNT_WAIT_CLOSE)
		snprintf(line, sizeof(line), " of fd %d", task->wait_result);
	else if (task->step)
		snprintf(line, sizeof(line), " at line %u", task->frame->line);
	int n = snprintf(stuck->text + stuck->used, sizeof(stuck->text) - stuck->used,
		"%s%s%s%s%s %llu in %s%s", stuck->named ? "; " : ": ", task->name ? "'" : "",
		task->name ? task->name : "", task->name ? "', " : "",
		task->step ? "step task" : "task", (unsigned long long)task->id, what, line);
	stuck->used += n > 0 ? (size_t)n : 0;
	stuck->named++;
}

int shunt_stuck_fail(const struct shunt_stuck *stuck, uint64_t live, struct shunt_error *err)
{
	return shunt_fail(err, -EDEADLK, "deadlock: %llu task%s wait%s and nothing can wake %s%s%s",
		(unsigned long long)live, live == 1 ? "" : "s", live == 1 ? "s" : "",
		live == 1 ? "it" : "them", stuck->text, live > stuck->named ? "; …" : "");
}
