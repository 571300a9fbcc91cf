/* SPDX-License-Identifier: MIT */
/* A hash table that only grows, with the tasks beside it in one array, and lists through it. */
#include "core/measure/trace_tasks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 256

int shunt_trace_tasks_init(struct shunt_trace_tasks *tasks)
{
	*tasks = (struct shunt_trace_tasks){
		.task = malloc(ROOM_FIRST * sizeof(*tasks->task)),
		.room = ROOM_FIRST,
		.slot = calloc(2 * ROOM_FIRST, sizeof(*tasks->slot)),
		.slots = 2 * ROOM_FIRST,
	};
	if (tasks->task && tasks->slot)
		return 0;
	shunt_trace_tasks_fini(tasks);
	return -ENOMEM;
}

void shunt_trace_tasks_fini(struct shunt_trace_tasks *tasks)
{
	free(tasks->task);
	free(tasks->slot);
	tasks->task = NULL;
	tasks->slot = NULL;
}

/* Fibonacci hashing: ids that follow each other land far apart. */
static uint32_t slot_of(uint64_t id, uint32_t slots)
{
	return (uint32_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (slots - 1);
}

struct shunt_trace_task *shunt_trace_tasks_find(const struct shunt_trace_tasks *tasks, uint64_t id)
{
	for (uint32_t i = slot_of(id, tasks->slots); tasks->slot[i];
		i = (i + 1) & (tasks->slots - 1))
		if (tasks->task[tasks->slot[i] - 1].id == id)
			return &tasks->task[tasks->slot[i] - 1];
	return NULL;
}

static void enter(uint32_t *slot, uint32_t slots, uint64_t id, uint32_t index)
{
	uint32_t i = slot_of(id, slots);

	while (slot[i])
		i = (i + 1) & (slots - 1);
	slot[i] = index + 1;
}

static int grow(struct shunt_trace_tasks *tasks)
{
	uint32_t room = 2 * tasks->room, slots = 2 * room;
	struct shunt_trace_task *task = realloc(tasks->task, room * sizeof(*task));

	if (!task)
		return -ENOMEM;
	tasks->task = task;
	uint32_t *slot = calloc(slots, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	for (uint32_t i = 0; i < tasks->count; i++)
		enter(slot, slots, task[i].id, i);
	free(tasks->slot);
	tasks->slot = slot;
	tasks->slots = slots;
	tasks->room = room;
	return 0;
}

struct shunt_trace_task *shunt_trace_tasks_add(struct shunt_trace_tasks *tasks, uint64_t id)
{
	if (tasks->count == tasks->room && grow(tasks) < 0)
		return NULL;
	enter(tasks->slot, tasks->slots, id, tasks->count);
	struct shunt_trace_task *task = &tasks->task[tasks->count++];
	*task = (struct shunt_trace_task){.id = id,
		.prev = SHUNT_NO_TASK,
		.next = SHUNT_NO_TASK,
		.worker = UINT32_MAX};
	return task;
}

void shunt_trace_queue_push(struct shunt_trace_queue *queue, struct shunt_trace_tasks *tasks,
	struct shunt_trace_task *task)
{
	uint32_t index = (uint32_t)(task - tasks->task);

	task->prev = queue->tail;
	task->next = SHUNT_NO_TASK;
	if (queue->tail == SHUNT_NO_TASK)
		queue->head = index;
	else
		tasks->task[queue->tail].next = index;
	queue->tail = index;
}

void shunt_trace_queue_remove(struct shunt_trace_queue *queue, struct shunt_trace_tasks *tasks,
	struct shunt_trace_task *task)
{
	if (task->prev == SHUNT_NO_TASK)
		queue->head = task->next;
	else
		tasks->task[task->prev].next = task->next;
	if (task->next == SHUNT_NO_TASK)
		queue->tail = task->prev;
	else
		tasks->task[task->next].prev = task->prev;
}

const char *shunt_trace_state_name(unsigned state)
{
	static const char *const names[] = {
		[SHUNT_STATE_NEW] = "new",
		[SHUNT_STATE_READY] = "ready",
		[SHUNT_STATE_TAKEN] = "taken",
		[SHUNT_STATE_RUNNING] = "running",
		[SHUNT_STATE_YIELDED] = "yielded",
		[SHUNT_STATE_PARKED] = "parked",
		[SHUNT_STATE_SLEEPING] = "sleeping",
		[SHUNT_STATE_BLOCKED] = "blocked",
		[SHUNT_STATE_WOKEN] = "woken",
		[SHUNT_STATE_ENDED] = "ended",
	};

	return names[state];
}
