/* SPDX-License-Identifier: MIT */
/*
 * If this passes, a task preempted by a signal goes on as if nothing had been: its registers with
 * all vector state, the red zone, FP control words, errno, the signal mask and the alternate stack
 * are what they were, sections are kept, and no other worker resumes it.
 *
 * Tasks compute in a function that signals may preempt, with a pattern of their own in every vector
 * register and below the stack pointer, under quanta from 5 us on. Beside the preempter a thread
 * sends each worker the same signal at random moments, which meet the engine, libc and the handler
 * itself, and a profiling timer of the program's own sends another.
 */
#include "core/engine/test/engine_torture.h"

#include "core/engine/preempt.h"

#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define SIGNAL       SIGURG
#define TASKS        12
#define PATIENCE_NS  INT64_C(10000000000) /* for one preemption, on a busy machine */
#define WORKERS_MOST 4
#define SPINS        6000 /* some microseconds */

static const char *const specs[] = {
	"asm:preempt=signal,quantum=5us",
	"asm:preempt=signal,quantum=9us,switch.fp=none",
	"ucontext:preempt=signal,quantum=5us,mt=1",
	"asm:preempt=signal,quantum=5us,policy=prio,interval=1",
	"asm:workers=2,policy=fifo,preempt=signal,quantum=5us,wait=epoll",
	"asm:workers=2,policy=steal,preempt=signal,quantum=5us",
	"asm:workers=3,policy=steal,preempt=signal,quantum=20us,interval=1,nap=0",
	"asm:workers=2,policy=shared,preempt=signal,quantum=5us",
	"asm:workers=2,policy=mlfq,preempt=signal,quantum=10us,timers=wheel",
};
#define SPECS (sizeof(specs) / sizeof(specs[0]))

static struct shunt_sched *sched;
static int thread_of[WORKERS_MOST];      /* [test:thread] kernel ids, for pelting */
static void *alternate_of[WORKERS_MOST]; /* [test:alternate] where each worker's lies */
static uint64_t holder_of[WORKERS_MOST]; /* of a section; 0: none */
static int stop;                         /* [test:stop] */
static uint64_t profiled;                /* [test:profiled] */

/* ---- what a preemption must keep ------------------------------------------------------------- */

/* The pattern in every vector register that there is, for so many rounds; false: one changed. */
#define KEEP(name, move, reg, bytes, registers, clobbers)                                          \
	static SHUNT_PREEMPTIBLE bool name(const unsigned char *pattern, uint64_t rounds)          \
	{                                                                                          \
		unsigned char after[registers][bytes];                                             \
		volatile uint64_t red_zone[8];                                                     \
		for (int i = 0; i < 8; i++)                                                        \
			red_zone[i] = pattern[i] * UINT64_C(0x0101010101010101);                   \
		__asm__ volatile(LOAD_##registers(move, reg,                                       \
			bytes) "1: dec %0\n\tjnz 1b\n\t" STORE_##registers(move, reg, bytes)       \
				 : "+r"(rounds)                                                    \
				 : "r"(pattern), "r"(after)                                        \
				 : "memory", "cc" clobbers);                                       \
		for (int i = 0; i < registers; i++)                                                \
			for (int j = 0; j < bytes; j++)                                            \
				if (after[i][j] != pattern[i * 64 + j])                            \
					return false;                                              \
		for (int i = 0; i < 8; i++)                                                        \
			if (red_zone[i] != pattern[i] * UINT64_C(0x0101010101010101))              \
				return false;                                                      \
		return true;                                                                       \
	}
#ifdef __x86_64__
#define LOAD(move, reg, n)         move " 64*" #n "(%1), %%" reg #n "\n\t"
#define STORE(move, reg, n, bytes) move " %%" reg #n ", " #bytes "*" #n "(%2)\n\t"
#define LOAD_16(move, reg, bytes)                                                                  \
	LOAD(move, reg, 0)                                                                         \
	LOAD(move, reg, 1)                                                                         \
	LOAD(move, reg, 2)                                                                         \
	LOAD(move, reg, 3)                                                                         \
	LOAD(move, reg, 4)                                                                         \
	LOAD(move, reg, 5)                                                                         \
	LOAD(move, reg, 6)                                                                         \
	LOAD(move, reg, 7)                                                                         \
	LOAD(move, reg, 8)                                                                         \
	LOAD(move, reg, 9)                                                                         \
	LOAD(move, reg, 10)                                                                        \
	LOAD(move, reg, 11)                                                                        \
	LOAD(move, reg, 12)                                                                        \
	LOAD(move, reg, 13)                                                                        \
	LOAD(move, reg, 14)                                                                        \
	LOAD(move, reg, 15)
#define STORE_16(move, reg, bytes)                                                                 \
	STORE(move, reg, 0, bytes)                                                                 \
	STORE(move, reg, 1, bytes)                                                                 \
	STORE(move, reg, 2, bytes)                                                                 \
	STORE(move, reg, 3, bytes)                                                                 \
	STORE(move, reg, 4, bytes)                                                                 \
	STORE(move, reg, 5, bytes)                                                                 \
	STORE(move, reg, 6, bytes)                                                                 \
	STORE(move, reg, 7, bytes)                                                                 \
	STORE(move, reg, 8, bytes)                                                                 \
	STORE(move, reg, 9, bytes)                                                                 \
	STORE(move, reg, 10, bytes)                                                                \
	STORE(move, reg, 11, bytes)                                                                \
	STORE(move, reg, 12, bytes)                                                                \
	STORE(move, reg, 13, bytes)                                                                \
	STORE(move, reg, 14, bytes)                                                                \
	STORE(move, reg, 15, bytes)
#define XMM                                                                                        \
	, "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
		"xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
KEEP(keeps_16, "movdqu", "xmm", 16, 16, XMM)
KEEP(keeps_32, "vmovdqu", "ymm", 32, 16, XMM)
KEEP(keeps_64, "vmovdqu64", "zmm", 64, 16, XMM)

static bool keeps(const unsigned char *pattern, uint64_t rounds)
{
	if (__builtin_cpu_supports("avx512f"))
		return keeps_64(pattern, rounds);
	return __builtin_cpu_supports("avx2") ? keeps_32(pattern, rounds)
					      : keeps_16(pattern, rounds);
}
#else
static bool keeps(const unsigned char *pattern, uint64_t rounds)
{
	(void)pattern, (void)rounds;
	return true; /* there preempt=signal is refused, and this not reached */
}
#endif

/* A sum whose rounding, and order, show in its last bits. */
static SHUNT_PREEMPTIBLE double sum(double x, uint64_t rounds)
{
	double total = 0;
	for (uint64_t i = 1; i <= rounds; i++)
		total += x / (double)i;
	return total;
}

/* ---- the tasks ------------------------------------------------------------------------------- */

static void same_alternate_stack(void)
{
	void *none = NULL;
	stack_t stack;
	assert_int_equal(sigaltstack(NULL, &stack), 0);
	/* Relaxed: who is first says what it is [test:alternate]. */
	if (!__atomic_compare_exchange_n(&alternate_of[shunt_worker_index()], &none, stack.ss_sp,
		    false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		assert_ptr_equal(none, stack.ss_sp);
}

/* No other task of this worker runs until the section is left. */
static void in_a_section(const unsigned char *pattern)
{
	shunt_preempt_off();
	uint64_t *holder = &holder_of[shunt_worker_index()];
	assert_int_equal(*holder, 0);
	*holder = shunt_task_id() + 1;
	shunt_preempt_off();
	assert_true(keeps(pattern, SPINS));
	shunt_preempt_on();
	assert_true(keeps(pattern, SPINS));
	assert_int_equal(*holder, shunt_task_id() + 1);
	*holder = 0;
	shunt_preempt_on();
}

/* Not inlined: a compiler keeps the address of errno over a switch to another thread. */
static __attribute__((noinline)) void errno_set(int number)
{
	errno = number;
	__asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) int errno_get(void)
{
	__asm__ volatile("" ::: "memory");
	return errno;
}

struct worker_task {
	uint64_t seed;
	double expected;
};

static void step(struct shunt_rng *rng, const struct worker_task *self)
{
	unsigned char pattern[16 * 64];
	sigset_t mask;
	int number = 1 + (int)shunt_rng_below(rng, 100);
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (unsigned char)shunt_rng_next(rng);
	errno_set(number);
	assert_true(keeps(pattern, 1 + shunt_rng_below(rng, 8 * SPINS)));
	assert_int_equal(errno_get(), number);
	assert_int_equal(fegetround(), FE_DOWNWARD);
	double total = sum((double)self->seed, SPINS);
	assert_memory_equal(&total, &self->expected, sizeof(total));
	same_alternate_stack();
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
	assert_int_equal(sigismember(&mask, SIGNAL), 0);
	/* Relaxed: for whoever pelts it [test:thread]. */
	__atomic_store_n(&thread_of[shunt_worker_index()], (int)syscall(SYS_gettid),
		__ATOMIC_RELAXED);
	switch (shunt_rng_below(rng, 4)) {
	case 0:
		in_a_section(pattern);
		break;
	case 1:
		assert_int_equal(shunt_sleep_for((int64_t)shunt_rng_below(rng, 20000)), 0);
		break;
	case 2:
		free(malloc(1 + shunt_rng_below(rng, 4000)));
		shunt_yield();
		break;
	default:
		if (shunt_checkpoint())
			shunt_yield();
	}
}

static void *works(void *arg)
{
	const struct worker_task *self = arg;
	struct shunt_rng rng;
	shunt_rng_init(&rng, self->seed);
	for (int i = 0; i < 20; i++)
		step(&rng, self);
	return NULL;
}

/* ---- from outside ---------------------------------------------------------------------------- */

static void on_profile(int signal)
{
	(void)signal;
	/* Relaxed: a count [test:profiled]. */
	__atomic_fetch_add(&profiled, 1, __ATOMIC_RELAXED);
}

static void profile(bool on)
{
	struct sigaction action = {.sa_handler = on_profile, .sa_flags = SA_RESTART};
	struct itimerval every = {{0, on ? 1000 : 0}, {0, on ? 1000 : 0}};
	sigemptyset(&action.sa_mask);
	assert_int_equal(sigaction(SIGPROF, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_PROF, &every, NULL), 0);
}

static void *pelt(void *arg)
{
	struct shunt_rng rng;
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	shunt_rng_init(&rng, *(uint64_t *)arg);
	/* Relaxed: seen soon enough [test:stop] [test:thread]. */
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		struct timespec pause = {0, (long)shunt_rng_below(&rng, 60000)};
		int thread = __atomic_load_n(&thread_of[shunt_rng_below(&rng, WORKERS_MOST)],
			__ATOMIC_RELAXED);
		if (thread)
			syscall(SYS_tgkill, getpid(), thread, SIGNAL);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static struct {
	uint64_t asked, delivered, in_section, elsewhere, in_vain, late;
} counts;

static void sum_counts(void *sink, const char *name, uint64_t value)
{
	(void)sink;
	counts.asked += strcmp(name, "preempt_asked") ? 0 : value;
	counts.delivered += strcmp(name, "preempt_delivered") ? 0 : value;
	counts.in_section += strcmp(name, "preempt_in_section") ? 0 : value;
	counts.elsewhere += strcmp(name, "preempt_elsewhere") ? 0 : value;
	counts.in_vain += strcmp(name, "preempt_in_vain") ? 0 : value;
	counts.late += strcmp(name, "preempt_late") ? 0 : value;
}

/* Of the run in progress; what is read may be old. */
static void take_counts(void)
{
	memset(&counts, 0, sizeof(counts));
	sched->backend->counters(sched, sum_counts, NULL);
}

static void *root(void *arg)
{
	struct worker_task task[TASKS];
	struct shunt_handle handle[TASKS];
	struct shunt_rng rng;
	int64_t begin = shunt_now_ns(), until = begin + torture_slice_ns() / 2;
	shunt_rng_init(&rng, *(uint64_t *)arg);
	do {
		for (int i = 0; i < TASKS; i++) {
			task[i].seed = 1 + shunt_rng_below(&rng, 1000000);
			shunt_preempt_off();
			task[i].expected = sum((double)task[i].seed, SPINS);
			shunt_preempt_on();
		}
		for (int i = 0; i < TASKS; i++)
			assert_int_equal(shunt_spawn(&handle[i], works, &task[i], NULL), 0);
		for (int i = 0; i < TASKS; i++)
			assert_int_equal(shunt_join(handle[i], NULL), 0);
		take_counts();
	} while (shunt_now_ns() < until ||
		 (!counts.delivered && shunt_now_ns() < begin + PATIENCE_NS));
	/* Relaxed: before the threads end, and their ids are others' [test:thread]. */
	for (int i = 0; i < WORKERS_MOST; i++)
		__atomic_store_n(&thread_of[i], 0, __ATOMIC_RELAXED);
	return NULL;
}

/* Pelted or not: what was not asked for is counted too. */
static void torture(const char *spec, uint64_t seed, bool pelted)
{
	struct shunt_config base = {.seed = seed};
	struct shunt_error err = {""};
	pthread_t outside;
	if (shunt_open(&sched, spec, &base, &err)) {
		print_message("%s\n", err.text);
		skip();
	}
	memset(alternate_of, 0, sizeof(alternate_of));
	memset(holder_of, 0, sizeof(holder_of));
	stop = 0;
	if (pelted)
		assert_int_equal(pthread_create(&outside, NULL, pelt, &seed), 0);
	int rc = shunt_run(sched, root, &seed, NULL, &err);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED); /* Relaxed: the join orders it */
	if (pelted)
		assert_int_equal(pthread_join(outside, NULL), 0);
	if (rc)
		fail_msg("%s: %s", spec, err.text);
	take_counts();
	uint64_t came = counts.delivered + counts.in_section + counts.elsewhere + counts.in_vain;
	print_message("%s: %llu asked, %llu delivered, %llu in sections, %llu elsewhere, %llu in "
		      "vain, %llu late\n",
		spec, (unsigned long long)counts.asked, (unsigned long long)counts.delivered,
		(unsigned long long)counts.in_section, (unsigned long long)counts.elsewhere,
		(unsigned long long)counts.in_vain, (unsigned long long)counts.late);
	assert_true(counts.delivered > 0);
	if (!pelted)
		assert_int_equal(came, counts.asked);
	shunt_close(sched);
}

static void a_preempted_task_goes_on_as_if_nothing_had_been(void **state)
{
	(void)state;
	const char *only = getenv("SHUNT_TORTURE_SPEC");
	uint64_t seed = torture_seed();
	assert_int_equal(fesetround(FE_DOWNWARD), 0);
	if (only)
		torture(only, seed, false);
	for (size_t i = 0; !only && i < SPECS; i++)
		torture(specs[i], seed + i, false);
	profile(true);
	if (only)
		torture(only, seed, true);
	for (size_t i = 0; !only && i < SPECS; i++)
		torture(specs[i], seed + i, true);
	profile(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_preempted_task_goes_on_as_if_nothing_had_been)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
