/* SPDX-License-Identifier: MIT */
/*
 * A task that goes on on another thread finds its own errno and floating-point modes there, and the
 * task API knows which thread that is.
 *
 * Compilers keep the address of a thread-local over a call that may come back on another thread,
 * the more the more they inline. So the tasks below ask for their worker right before and after
 * each way of giving way, in one function, and compare with what a thread-local of their own says,
 * which they read through a function that no compiler sees into. migration_lto.py builds this and
 * the engine at -O3 -flto, where the whole task API is inlined, with every compiler there is.
 *
 * A task must not use `errno` itself across a switch, for the same reason (core/sched.h): errno_get
 * here.
 */
#include "core/engine/test/engine_torture.h"

#include <errno.h>
#include <fenv.h>
#include <limits.h>

#define TASKS       24
#define STEPS       TORTURE_SCALE(400)
#define MOVES       TORTURE_SCALE(5000)
#define LONGEST_NS  INT64_C(2000000000) /* on one composition, however few have moved by then */
#define PATIENCE_NS INT64_C(20000000000)

#if defined(__clang__)
#define OPAQUE __attribute__((noinline, optnone))
#else
#define OPAQUE __attribute__((noipa))
#endif

static const char *const migrating[] = {
	"asm:workers=4,policy=shared,interval=1",
	"asm:workers=3,policy=steal,interval=1",
	"asm:workers=2,policy=shared,switch=asm-ret",
	"ucontext:workers=3,policy=shared",
	"threads",
};

static __thread unsigned
	thread_number; /* of the worker that runs on this thread, from 1; 0: none yet */
static _Atomic long moved;
static int tried;        /* compositions that can be had here */
static int64_t until_ns; /* go on for so long for the sake of moves; 0: tasks do not move */
static _Atomic int wrong_worker, wrong_task, wrong_errno, wrong_rounding, wrong_control;

OPAQUE static int errno_get(void)
{
	return errno;
}

OPAQUE static void errno_set(int value)
{
	errno = value;
}

/* The worker that this thread said it is when it was first asked. */
OPAQUE static unsigned number_of_thread(unsigned now)
{
	if (!thread_number)
		thread_number = now + 1;
	return thread_number - 1;
}

OPAQUE static unsigned fp_control(void)
{
#if defined(__x86_64__)
	unsigned mxcsr = 0;
	unsigned short x87 = 0;
	__asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(x87));
	return (mxcsr & 0xffc0u) | (unsigned)x87 << 16;
#else
	return 0;
#endif
}

/* Flush-to-zero and denormals-are-zero for every other task. */
OPAQUE static void fp_set(uint64_t number)
{
	static const int rounding[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
	fesetround(rounding[number % 4]);
#if defined(__x86_64__)
	unsigned mxcsr;
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	mxcsr = number & 4 ? mxcsr | 0x8040u : mxcsr & ~0x8040u;
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
#endif
}

static void give_way(struct shunt_rng *rng)
{
	switch (shunt_rng_below(rng, 8)) {
	case 0:
		shunt_sleep_for((int64_t)shunt_rng_below(rng, 20000));
		break;
	case 1:
		shunt_park_until(shunt_now_ns() + (int64_t)shunt_rng_below(rng, 20000));
		break;
	default:
		shunt_yield();
	}
}

/* Threads of a busy machine may take turns for a while: it is gone on until one has moved. */
static bool first_awaited(void)
{
	return until_ns && !moved && shunt_now_ns() < until_ns + PATIENCE_NS;
}

static void *migrate(void *arg)
{
	uint64_t seed = *(uint64_t *)arg, number = shunt_task_id();
	struct shunt_rng rng;
	shunt_rng_init(&rng, seed + number);
	fp_set(number);
	int rounding = fegetround();
	unsigned control = fp_control();
	for (int i = 0;
		i < STEPS || (moved < MOVES && shunt_now_ns() < until_ns) || first_awaited(); i++) {
		unsigned before = shunt_worker_index();
		int error = (int)(number * 1000 + (unsigned)i + 1);
		errno_set(error);
		give_way(&rng);
		wrong_errno += errno_get() != error;
		wrong_rounding += fegetround() != rounding;
		wrong_control += fp_control() != control;
		/* Twice through thread-locals: ours, and the task API's. */
		unsigned after = shunt_worker_index();
		wrong_worker += number_of_thread(after) != after;
		moved += before != after;
		/* And a yield alone, which is what gets inlined best. */
		before = shunt_worker_index();
		shunt_yield();
		after = shunt_worker_index();
		wrong_worker += number_of_thread(after) != after;
		wrong_task += !shunt_in_task() || shunt_task_id() != number;
		moved += before != after;
	}
	return NULL;
}

static void *root(void *arg)
{
	struct shunt_handle task[TASKS];
	int before = fegetround();
	for (int i = 0; i < TASKS; i++)
		assert_int_equal(shunt_spawn(&task[i], migrate, arg, NULL), 0);
	for (int i = 0; i < TASKS; i++)
		assert_int_equal(shunt_join(task[i], NULL), 0);
	assert_int_equal(fegetround(), before);
	return NULL;
}

/* Do its tasks move? -1: it cannot be had here (threads of so small a stack, under an emulator). */
static int must_move(const char *spec)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	if (shunt_open(&sched, spec, NULL, &err)) {
		print_message("%s: %s\n", spec, err.text);
		return -1;
	}
	bool moves = sched->caps & SHUNT_MIGRATES;
	shunt_close(sched);
	return moves;
}

static void keeps_its_own(const char *spec, uint64_t seed)
{
	wrong_worker = wrong_task = wrong_errno = wrong_rounding = wrong_control = 0;
	moved = 0;
	int moves = must_move(spec);
	if (moves < 0)
		return;
	until_ns = moves ? shunt_now_ns() + LONGEST_NS : 0;
	torture_run(spec, seed, root, &seed);
	print_message("%s: %ld moves\n", spec, (long)moved);
	if (wrong_worker || wrong_task || wrong_errno || wrong_rounding || wrong_control)
		fail_msg("%s: after a switch %d times the wrong worker, %d the wrong task, %d "
			 "another's errno, %d another's rounding mode, %d another's FP control "
			 "words",
			spec, (int)wrong_worker, (int)wrong_task, (int)wrong_errno,
			(int)wrong_rounding, (int)wrong_control);
	tried++;
	if (until_ns && moved == 0)
		fail_msg("%s: no task ever moved: nothing was tested", spec);
}

static void every_task_keeps_its_own(void **state)
{
	const char *only = getenv("SHUNT_TORTURE_SPEC");
	bool all = !only || !*only;
	uint64_t seed = torture_seed();
	(void)state;
	for (size_t i = 0; i < sizeof(migrating) / sizeof(migrating[0]) && all; i++)
		keeps_its_own(migrating[i], seed);
	assert_true(tried || !all);
	if (!all)
		keeps_its_own(only, seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_task_keeps_its_own)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
