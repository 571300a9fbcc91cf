/* SPDX-License-Identifier: MIT */
/* ThreadSanitizer's fibres (fibre.h). */
#include "core/engine/fibre.h"

#ifdef SHUNT_TSAN
#include <pthread.h>
#include <sanitizer/tsan_interface.h>

/* Tasks on one fibre. Each leaves a few functions on its record, which holds 65,536. */
#define LIVES_MOST 5000
#define KEPT_MOST  256 /* fibres without a stack */

static struct {
	pthread_mutex_t lock;
	unsigned count;
	struct {
		void *fiber;
		unsigned lives;
	} kept[KEPT_MOST];
} fibres = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void fibre_new(struct shunt_stack *stack)
{
	stack->lives = 0;
	pthread_mutex_lock(&fibres.lock);
	if (fibres.count) {
		stack->fiber = fibres.kept[--fibres.count].fiber;
		stack->lives = fibres.kept[fibres.count].lives;
	}
	pthread_mutex_unlock(&fibres.lock);
	if (!stack->fiber)
		stack->fiber = __tsan_create_fiber(0);
}

void shunt_fibre_begin(struct shunt_stack *stack)
{
	if (!stack->fiber)
		fibre_new(stack);
	if (++stack->lives <= LIVES_MOST)
		return;
	__tsan_destroy_fiber(stack->fiber);
	stack->fiber = __tsan_create_fiber(0);
	stack->lives = 1;
}

void shunt_fibre_end(struct shunt_stack *stack)
{
	void *fiber = stack->fiber;
	if (!fiber)
		return;
	pthread_mutex_lock(&fibres.lock);
	if (fibres.count < KEPT_MOST) {
		fibres.kept[fibres.count].fiber = fiber;
		fibres.kept[fibres.count++].lives = stack->lives;
		fiber = NULL;
	}
	pthread_mutex_unlock(&fibres.lock);
	if (fiber)
		__tsan_destroy_fiber(fiber);
}

#endif
