/* SPDX-License-Identifier: MIT */
/*
 * What the switches in assembly share: their parameter, the refusal of what this CPU or this
 * thread does not allow, and the FP words to go back to.
 */
#include "backends/switch/arch.h"

#include "core/engine/sanitize.h"
#include "core/measure/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char *const fp_choices[] = {"full", "mxcsr", "none", NULL};

enum load { LOAD_AUTO, LOAD_COMPARE, LOAD_ALWAYS };
static const char *const load_choices[] = {"auto", "compare", "always", NULL};

const struct shunt_param shunt_switch_arch_params[] = {
	{.name = "fp",
		.type = SHUNT_PARAM_CHOICE,
		.fallback = "full",
		.choices = fp_choices,
		.help = "FP control words kept per task; none: all tasks share the thread's"},
	{.name = "fp_load",
		.type = SHUNT_PARAM_CHOICE,
		.fallback = "auto",
		.choices = load_choices,
		.help = "how a switch takes up MXCSR: compare loads it where it differs, always "
			"saves the comparison; auto: the faster one here, timed once a process"},
	{.name = NULL},
};

void shunt_switch_arch_note_fp(struct shunt_switch_ops *ops)
{
	uint64_t words = shunt_switch_arch.fp_get();

	memcpy(ops->fp_words, &words, sizeof(words));
}

int shunt_switch_arch_probe(struct shunt_error *why)
{
	if (!shunt_has_shadow_stack())
		return 0;
	return shunt_fail(why, -ENOTSUP,
		"this process has a shadow stack, which the assembly switches do not swap; start "
		"it without one (GLIBC_TUNABLES), or use switch=ucontext");
}

/* ---- which way to load is the faster one here ------------------------------------------------ */

#ifdef SHUNT_SANITIZED /* they do not know the stacks that are timed, and slow both down */
static enum load faster_load(void)
{
	return LOAD_COMPARE;
}
#else
#define TIMED_STACK   65536 /* a signal's handler may run on it */
#define TIMED_BATCHES 16
#define TIMED_SWAPS   64

struct timed {
	shunt_swap_fn *swap;
	void *sp[2];
	uint64_t least_ns;
};

static void hand_back(uintptr_t value)
{
	for (struct timed *timed = (struct timed *)value;;)
		timed->swap(&timed->sp[1], timed->sp[0], 0);
}

static void time_batch(struct timed *timed)
{
	uint64_t start = shunt_clock_monotonic_ns();

	for (int i = 0; i < TIMED_SWAPS; i++)
		timed->swap(&timed->sp[0], timed->sp[1], (uintptr_t)timed);
	uint64_t ns = shunt_clock_monotonic_ns() - start;
	if (ns < timed->least_ns)
		timed->least_ns = ns;
}

static enum load timed_load;

/* The least of some batches each, alternately; some 30 us. A tie is for the comparison. */
static void time_both(void)
{
	const struct shunt_switch_form *form = &shunt_switch_arch.jmp;
	struct timed compare = {.swap = form->fp[SHUNT_FP_FULL].swap, .least_ns = UINT64_MAX};
	struct timed always = {.swap = form->always[SHUNT_FP_FULL].swap, .least_ns = UINT64_MAX};
	char *stacks = malloc(2 * TIMED_STACK);

	timed_load = LOAD_COMPARE;
	if (!stacks || shunt_has_shadow_stack()) {
		free(stacks);
		return;
	}
	compare.sp[1] = shunt_switch_arch.make(stacks, TIMED_STACK, hand_back);
	always.sp[1] = shunt_switch_arch.make(stacks + TIMED_STACK, TIMED_STACK, hand_back);
	for (int i = 0; i < TIMED_BATCHES; i++) {
		time_batch(&compare);
		time_batch(&always);
	}
	free(stacks);
	if (always.least_ns * 100 < compare.least_ns * 97)
		timed_load = LOAD_ALWAYS;
}

static enum load faster_load(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, time_both);
	return timed_load;
}
#endif

/* ---- resolve --------------------------------------------------------------------------------- */

int shunt_switch_arch_resolve(const char *name, const struct shunt_switch_form *form,
	const struct shunt_values *values, struct shunt_switch_ops *ops, struct shunt_error *err)
{
	enum shunt_switch_fp fp = shunt_value_int(values, "fp");
	enum load load = shunt_value_int(values, "fp_load");
	bool choice = form->always[fp].swap;

	if (!form->fp[fp].swap)
		return shunt_fail(err, -ENOTSUP,
			"switch '%s': fp=%s does not exist on %s; use fp=full (keeps %s) or "
			"fp=none",
			name, fp_choices[fp], shunt_switch_arch.cpu, shunt_switch_arch.words);
	if (load == LOAD_ALWAYS && !choice && fp != SHUNT_FP_NONE)
		return shunt_fail(err, -ENOTSUP,
			"switch '%s': fp_load=always does not exist on %s; leave it at auto", name,
			shunt_switch_arch.cpu);
	if (load == LOAD_AUTO)
		load = choice ? faster_load() : LOAD_COMPARE;
	bool always = choice && load == LOAD_ALWAYS;
	const struct shunt_switch_pair *pair = always ? &form->always[fp] : &form->fp[fp];
	*ops = (struct shunt_switch_ops){
		.swap = pair->swap,
		.swap_post = pair->swap_post,
		.make = shunt_switch_arch.make,
		.reset_fp = always ? shunt_switch_arch.fp_reset_always[fp]
				   : shunt_switch_arch.fp_reset[fp],
		.fp = fp_choices[fp],
		.fp_load = choice ? load_choices[load] : NULL,
		.saves_signal_mask = false,
		.unwindable = true,
		.stack_overhead = shunt_switch_arch.stack_overhead,
	};
	shunt_switch_arch_note_fp(ops);
	return 0;
}
