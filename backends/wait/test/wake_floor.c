/* SPDX-License-Identifier: MIT */
/*
 * The floors of a wake-up across workers: what it takes between two bare threads, one on each of
 * the first two CPUs allowed, without tasks, queues or a protocol against lost wakes.
 *
 *   shunt-wake-floor WAY [WAKES [PAUSE_NS [SEED]]]
 *
 *   futex    the sleeper in FUTEX_WAIT on one word
 *   eventfd  the sleeper in read(2) of an eventfd
 *   msgring  the sleeper in io_uring_enter on its ring, the waker's sends it IORING_OP_MSG_RING
 *   spin     the sleeper looks at one word and pauses
 *
 * The counterpart of the workload `wakeup`: the same pauses for the same seed, the same two
 * readings of the clock, CPU counted by thread in the same way. Prints one line (wall ns, the
 * waker's CPU ns in its calls to wake, the sleeper's CPU ns, wakes out of order) and then every
 * latency in ns, one a line.
 */
#include "core/measure/clock.h"
#include "core/rng.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef SHUNT_HAVE_LIBURING
#include <liburing.h>

static struct io_uring ring[2]; /* the waker's, the sleeper's */
#endif

static uint64_t wakes, pause_ns, seed, clock_cost_ns;
static uint64_t *latency_ns;
static int event_fd;

/* Written by the waker, read by the sleeper; and the other way. */
static _Alignas(64) _Atomic uint32_t called; /* [floor:called] */
static uint64_t sent_ns;
static _Alignas(64) _Atomic uint32_t heard; /* [floor:heard] */
static _Atomic int seated;                  /* [floor:seated] the sleeper is at its place */

static uint64_t waker_cpu_ns, sleeper_cpu_ns, wrong;

/* ---- the four ways --------------------------------------------------------------------------- */

static void sleep_futex(uint32_t seen)
{
	syscall(SYS_futex, &called, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void wake_futex(void)
{
	syscall(SYS_futex, &called, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void sleep_eventfd(uint32_t seen)
{
	uint64_t count;

	(void)seen;
	(void)!read(event_fd, &count, sizeof(count));
}

static void wake_eventfd(void)
{
	(void)!write(event_fd, &(uint64_t){1}, sizeof(uint64_t));
}

static void sleep_spin(uint32_t seen)
{
	(void)seen;
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

static void wake_nothing(void)
{
}

#ifdef SHUNT_HAVE_LIBURING
static void sleep_msgring(uint32_t seen)
{
	struct io_uring_cqe *cqe;

	(void)seen;
	if (io_uring_wait_cqe(&ring[1], &cqe) == 0)
		io_uring_cqe_seen(&ring[1], cqe);
}

static void wake_msgring(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring[0]);
	struct io_uring_cqe *cqe;

	io_uring_prep_msg_ring(sqe, ring[1].ring_fd, 0, 1, 0);
	io_uring_submit(&ring[0]);
	while (io_uring_peek_cqe(&ring[0], &cqe) == 0)
		io_uring_cqe_seen(&ring[0], cqe);
}
#endif

static const struct way {
	const char *name;
	void (*sleep)(uint32_t seen); /* until `called` is not `seen`; may return early */
	void (*wake)(void);           /* after `called` was changed */
} ways[] = {
	{"futex", sleep_futex, wake_futex},
	{"eventfd", sleep_eventfd, wake_eventfd},
	{"spin", sleep_spin, wake_nothing},
#ifdef SHUNT_HAVE_LIBURING
	{"msgring", sleep_msgring, wake_msgring},
#endif
};
static const struct way *way;

/* ---- the two threads ------------------------------------------------------------------------- */

/* Binds the calling thread to the index-th CPU allowed, round again if there are fewer. */
static void bind_to(unsigned index)
{
	cpu_set_t allowed, one;
	int cpu = -1;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return;
	for (unsigned left = index % (unsigned)CPU_COUNT(&allowed) + 1; left;
		left -= CPU_ISSET(cpu, &allowed) != 0)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void *sleeper(void *arg)
{
	uint64_t cpu_ns;

	(void)arg;
	bind_to(1);
	cpu_ns = shunt_clock_thread_cpu_ns();
	/* Relaxed: it carries nothing. */
	atomic_store_explicit(&seated, 1, memory_order_relaxed);
	for (uint32_t seen = 0; seen < wakes;) {
		/* Acquire pairs with the release in wake_once [floor:called]. */
		while (atomic_load_explicit(&called, memory_order_acquire) == seen)
			way->sleep(seen);
		latency_ns[seen] = shunt_clock_monotonic_ns() - sent_ns;
		/* Relaxed: read above already. */
		wrong += atomic_load_explicit(&called, memory_order_relaxed) != ++seen;
		/* Release pairs with the acquire in wake_once [floor:heard]. */
		atomic_store_explicit(&heard, seen, memory_order_release);
	}
	sleeper_cpu_ns = shunt_clock_thread_cpu_ns() - cpu_ns;
	return NULL;
}

static void wake_once(uint32_t number)
{
	uint64_t before = shunt_clock_thread_cpu_ns(), spent;

	sent_ns = shunt_clock_monotonic_ns();
	/* Release pairs with the acquire in sleeper [floor:called]. */
	atomic_store_explicit(&called, number, memory_order_release);
	way->wake();
	spent = shunt_clock_thread_cpu_ns() - before;
	waker_cpu_ns += spent > clock_cost_ns ? spent - clock_cost_ns : 0;
	/* Acquire pairs with the release in sleeper [floor:heard]. */
	while (atomic_load_explicit(&heard, memory_order_acquire) != number)
		(void)shunt_clock_monotonic_ns();
}

static void calibrate(void)
{
	clock_cost_ns = UINT64_MAX;
	for (int i = 0; i < 200; i++) {
		uint64_t before = shunt_clock_thread_cpu_ns();
		uint64_t cost = shunt_clock_thread_cpu_ns() - before;

		clock_cost_ns = cost < clock_cost_ns ? cost : clock_cost_ns;
	}
}

static uint64_t run(void)
{
	struct shunt_rng rng;
	pthread_t thread;
	uint64_t started = shunt_clock_monotonic_ns();

	shunt_rng_init(&rng, seed);
	if (pthread_create(&thread, NULL, sleeper, NULL) != 0)
		exit(1);
	bind_to(0);
	/* Relaxed: as above. */
	while (!atomic_load_explicit(&seated, memory_order_relaxed))
		sched_yield();
	for (uint32_t i = 1; i <= wakes; i++) {
		uint64_t until = shunt_clock_monotonic_ns() + pause_ns / 2 +
				 shunt_rng_below(&rng, pause_ns + 1);

		while (pause_ns && shunt_clock_monotonic_ns() < until)
			;
		wake_once(i);
	}
	pthread_join(thread, NULL);
	return shunt_clock_monotonic_ns() - started;
}

static int open_ways(void)
{
	event_fd = eventfd(0, EFD_CLOEXEC);
#ifdef SHUNT_HAVE_LIBURING
	if (strcmp(way->name, "msgring") == 0 &&
		(io_uring_queue_init(8, &ring[0], 0) || io_uring_queue_init(64, &ring[1], 0)))
		return -1;
#endif
	return event_fd < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(ways) / sizeof(ways[0]); i++)
		if (strcmp(argv[1], ways[i].name) == 0)
			way = &ways[i];
	wakes = argc > 2 ? strtoull(argv[2], NULL, 10) : 5000;
	pause_ns = argc > 3 ? strtoull(argv[3], NULL, 10) : 100000;
	seed = argc > 4 ? strtoull(argv[4], NULL, 10) : 42;
	if (!way || !wakes || wakes > UINT32_MAX) {
		fprintf(stderr,
			"usage: %s futex|eventfd|msgring|spin [WAKES [PAUSE_NS [SEED]]]%s\n",
			argv[0], argc > 1 && !way ? " (a way that this build has not)" : "");
		return 2;
	}
	latency_ns = calloc(wakes, sizeof(*latency_ns));
	if (!latency_ns)
		return 1;
	if (open_ways() != 0) {
		fprintf(stderr, "%s cannot be had here\n", way->name);
		return 77;
	}
	calibrate();
	uint64_t wall_ns = run();
	printf("%llu %llu %llu %llu\n", (unsigned long long)wall_ns,
		(unsigned long long)waker_cpu_ns, (unsigned long long)sleeper_cpu_ns,
		(unsigned long long)wrong);
	for (uint64_t i = 0; i < wakes; i++)
		printf("%llu\n", (unsigned long long)latency_ns[i]);
	free(latency_ns);
	return wrong != 0;
}
