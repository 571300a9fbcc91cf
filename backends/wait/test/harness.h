/* SPDX-License-Identifier: MIT */
/*
 * What the tests of wait slots share: a slot opened with chosen parameters, and tasks that are
 * nothing but their word, so that a timer can be live or not.
 */
#ifndef SHUNT_BACKENDS_WAIT_TEST_HARNESS_H
#define SHUNT_BACKENDS_WAIT_TEST_HARNESS_H

#include "core/engine/slots.h"
#include "core/engine/task.h"
#include "core/registry.h"
#include "core/rng.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MS INT64_C(1000000)

static inline int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The fence between prepare() and the rechecks. ThreadSanitizer knows none but does know this. */
static inline void full_fence(void)
{
#ifdef __SANITIZE_THREAD__
	static _Atomic int anything;

	atomic_fetch_add(&anything, 1);
#else
	atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static inline void task_blocks(struct shunt_task *task)
{
	uint64_t word = atomic_load(&task->word);

	atomic_store(&task->word,
		shunt_word_with_state(word, SHUNT_TASK_BLOCKED) + SHUNT_EPOCH_ONE);
}

static inline void task_runs(struct shunt_task *task)
{
	atomic_store(&task->word,
		shunt_word_with_state(atomic_load(&task->word), SHUNT_TASK_RUNNABLE));
}

static inline struct shunt_timer timer_of(struct shunt_task *task, int64_t deadline_ns)
{
	return (struct shunt_timer){.deadline_ns = deadline_ns,
		.task = task,
		.ticket = atomic_load(&task->word) & SHUNT_WORD_TICKET};
}

/* ---- slots ----------------------------------------------------------------------------------- */

/* A wait slot with one choice of its parameters. */
struct subject {
	const struct shunt_wait *ops;
	struct shunt_values values;
	char title[128];
	int64_t torture_ms; /* how long a torture goes on: the defaults get most of it */
};

/* Variant 0 has every default; each next one sets one value of one CHOICE parameter that is not
 * its default. False: no such variant. */
static inline bool subject_init(struct subject *s, const struct shunt_wait *ops, size_t variant)
{
	size_t seen = 0;

	const char *text = getenv("SHUNT_TORTURE_MS");
	int64_t torture_ms = text != NULL && atoi(text) > 0 ? atoi(text) : 2000;

	*s = (struct subject){.ops = ops,
		.torture_ms = variant == 0 ? torture_ms : torture_ms / 8 + 1};
	snprintf(s->title, sizeof(s->title), "%s", ops->name);
	if (ops->params == NULL)
		return variant == 0;
	if (shunt_values_init(&s->values, ops->params, NULL) != 0)
		return false;
	if (variant == 0)
		return true;
	for (const struct shunt_param *p = ops->params; p->name != NULL; p++) {
		for (size_t i = 0; p->type == SHUNT_PARAM_CHOICE && p->choices[i] != NULL; i++) {
			if (strcmp(p->choices[i], p->fallback) == 0 || ++seen != variant)
				continue;
			snprintf(s->title, sizeof(s->title), "%s %s=%s", ops->name, p->name,
				p->choices[i]);
			return shunt_values_set(&s->values, ops->name, p->name, p->choices[i],
				       NULL) == 0;
		}
	}
	shunt_values_fini(&s->values);
	return false;
}

static inline void subject_fini(struct subject *s)
{
	if (s->values.params != NULL)
		shunt_values_fini(&s->values);
}

struct harness {
	const struct shunt_wait *ops;
	void *wait;
	const char *title;
	int64_t torture_ms;
};

static void own_fired(void *arg, const struct shunt_timer *timer);

static inline struct harness *harness_open(struct subject *s)
{
	struct shunt_wait_config config = {.values = &s->values,
		.worker_count = 2,
		.fired = own_fired};
	struct harness *h = calloc(1, sizeof(*h));
	struct shunt_error err = {""};

	h->ops = s->ops;
	h->title = s->title;
	h->torture_ms = s->torture_ms;
	if (s->ops->open != NULL && s->ops->open(&h->wait, &config, &err) != 0)
		fail_msg("%s: %s", s->title, err.text);
	return h;
}

static inline int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

/* Does this machine lack what the choice asks for? Then says what. */
static inline bool subject_refused(struct subject *s)
{
	struct shunt_wait_config config = {.values = &s->values,
		.worker_count = 1,
		.fired = own_fired};
	struct shunt_error err = {""};
	void *wait = NULL, *slot;
	int code = s->ops->open != NULL ? s->ops->open(&wait, &config, &err) : 0;

	if (code == 0) {
		code = s->ops->start(wait, 0, NULL, &slot, &err);
		if (code == 0)
			s->ops->stop(slot);
		if (s->ops->close != NULL)
			s->ops->close(wait);
	}
	if (code != -ENOSYS && code != -EOPNOTSUPP)
		return false;
	print_message("%s: skipped: %s\n", s->title, err.text);
	return true;
}

static inline void *harness_start(struct harness *h, unsigned index, void *arg)
{
	struct shunt_error err = {""};
	void *slot = NULL;

	if (h->ops->start(h->wait, index, arg, &slot, &err) != 0)
		fail_msg("%s: %s", h->title, err.text);
	return slot;
}

static inline void prepare(const struct shunt_wait *ops, void *slot)
{
	if (ops->prepare != NULL)
		ops->prepare(slot);
}

static inline void harness_close(struct harness *h)
{
	if (h->ops->close != NULL)
		h->ops->close(h->wait);
	free(h);
}

static inline uint64_t harness_seed(struct harness *h)
{
	const char *given = getenv("SHUNT_SEED"); /* to repeat a failure */
	uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)now_ns();

	print_message("%s: seed %llu\n", h->title, (unsigned long long)seed);
	return seed;
}

/* Runs a check on every slot of the registry that this machine can run, or on the one named, with
 * every value of its choices. Returns the exit status. */
static inline int each_subject(const char *only, int (*check)(struct subject *s))
{
	int failed = 0, checked = 0;

	for (const struct shunt_plugin *p = shunt_registry_waits; p->name != NULL; p++) {
		const struct shunt_wait *ops = p->object;
		struct shunt_error why;
		struct subject s;

		/* A simulator's workers are no threads: its tests run the engine on it. */
		if (ops == NULL || ops->virtual_time ||
			(only != NULL && strcmp(only, p->name) != 0))
			continue;
		if (ops->probe != NULL && ops->probe(&why) != 0) {
			print_message("%s: skipped: %s\n", p->name, why.text);
			continue;
		}
		for (size_t variant = 0; subject_init(&s, ops, variant); variant++) {
			if (variant == 0 || !subject_refused(&s)) {
				failed += check(&s);
				checked++;
			}
			subject_fini(&s);
		}
	}
	return failed != 0 || checked == 0;
}

#endif
