/* SPDX-License-Identifier: MIT */
/*
 * ring.h on liburing (2.3 or newer), the only file that knows of it.
 *
 * liburing sets the ring up, maps it and fills submissions in. The system call is made here, by
 * one function: that is what counts calls exactly, and takes flags that liburing's own functions
 * do not pass on. For that the submission array is filled once with the identity, and publishing
 * the tail is all there is to a flush.
 *
 * Not used: SQPOLL, whose kernel thread would be a hidden second CPU in every comparison; and
 * R_DISABLED, which lets one thread set a ring up and another own it under SINGLE_ISSUER, as here
 * each worker sets up its own.
 */
#include "backends/wait/ring.h"

#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What kernels have and headers may not. */
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif
#ifndef IORING_ENTER_ABS_TIMER
#define IORING_ENTER_ABS_TIMER (1U << 5)
#endif

#define FEATURES_NEEDED \
	(IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_EXT_ARG)
#define HELD_BACK (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)
#define MANY      16     /* results of one asking, after which more is asked for */
#define PAUSE_NS  100000 /* after a refusal for want of memory */

struct shunt_ring {
	struct io_uring ring;
	struct shunt_wait_calls *calls;
	struct __kernel_timespec *time; /* one a submission; read when it is submitted */
	unsigned sq_mask;
	unsigned enter_flags;
	int enter_fd;
	bool absolute_wait;
	bool silent; /* plan.skips_success */
	bool lost;
	bool overflowing;
	bool gather; /* much came the last time that the kernel was asked */
	unsigned gather_count;
	uint64_t overflows;
};

/* ---- what the kernel offers ------------------------------------------------------------------ */

static long read_number(const char *path)
{
	FILE *file = fopen(path, "re");
	long number = -1;

	if (file == NULL)
		return -1;
	if (fscanf(file, "%ld", &number) != 1)
		number = -1;
	fclose(file);
	return number;
}

static bool under_seccomp(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	int mode = 0;

	if (file == NULL)
		return false;
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "Seccomp: %d", &mode) == 1)
			break;
	fclose(file);
	return mode == 2;
}

static int refused(int code, struct shunt_error *err)
{
	long disabled = read_number("/proc/sys/kernel/io_uring_disabled");

	switch (code) {
	case -ENOSYS:
		return shunt_fail(err, code,
			"the kernel has no io_uring (before Linux 5.1, built without it, or an "
			"emulator that lacks it)%s",
			under_seccomp() ? "; or a seccomp filter says so" : "");
	case -EPERM:
	case -EACCES:
		if (disabled > 0)
			return shunt_fail(err, code,
				"io_uring is switched off (kernel.io_uring_disabled = %ld; sysctl -w "
				"kernel.io_uring_disabled=0 allows it)", disabled);
		return shunt_fail(err, code, "io_uring is forbidden here%s",
			under_seccomp() ? " by a seccomp filter, as many containers have one; allow "
					  "io_uring_setup, io_uring_enter and io_uring_register"
					: "");
	case -ENOMEM:
		return shunt_fail(err, code,
			"no memory for a ring: raise RLIMIT_MEMLOCK (ulimit -l) or the memory limit, "
			"or ask for smaller rings");
	default:
		return shunt_fail(err, code, "io_uring_setup: %s", strerror(-code));
	}
}

static unsigned flags_of(enum shunt_ring_setup setup)
{
	switch (setup) {
	case SHUNT_RING_DEFER:
		return IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			IORING_SETUP_TASKRUN_FLAG;
	case SHUNT_RING_COOP:
		return IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	default:
		return 0;
	}
}

/* Sets one ring up. -EINVAL: this kernel does not know one of the flags. */
static int ring_init(struct io_uring *ring, const struct shunt_ring_plan *plan, unsigned *features)
{
	struct io_uring_params params;
	int code;

	memset(&params, 0, sizeof(params));
	params.flags = plan->setup_flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
	params.cq_entries = plan->cq_entries;
	code = io_uring_queue_init_params(plan->sq_entries, ring, &params);
	if (code == 0)
		*features = params.features;
	return code;
}

static int find_setup(struct io_uring *ring, struct shunt_ring_plan *plan,
	enum shunt_ring_setup setup, struct shunt_error *err)
{
	static const char *const name[] = {"auto", "defer", "coop", "plain"};
	enum shunt_ring_setup first = setup == SHUNT_RING_AUTO ? SHUNT_RING_DEFER : setup;
	enum shunt_ring_setup last = setup == SHUNT_RING_AUTO ? SHUNT_RING_PLAIN : setup;
	int code = -EINVAL;

	for (enum shunt_ring_setup s = first; s <= last && code == -EINVAL; s++) {
		plan->setup_flags = flags_of(s);
		code = ring_init(ring, plan, &plan->features);
	}
	if (code == -EINVAL && setup != SHUNT_RING_AUTO)
		return shunt_fail(err, -EOPNOTSUPP,
			"this kernel's io_uring has no setup=%s; use setup=auto", name[setup]);
	return code == 0 ? 0 : refused(code, err);
}

/* Does io_uring_enter know an absolute deadline? One long past ends the wait at once. */
static bool absolute_wait_works(struct io_uring *ring)
{
	struct __kernel_timespec past = {.tv_sec = 0, .tv_nsec = 1};
	struct io_uring_getevents_arg arg = {.ts = (uint64_t)(uintptr_t)&past};

	return io_uring_enter2(ring->ring_fd, 0, 1,
		       IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | IORING_ENTER_ABS_TIMER,
		       (sigset_t *)(void *)&arg, sizeof(arg)) == -ETIME;
}

static bool operations_known(struct io_uring *ring, struct shunt_ring_plan *plan)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool known;

	if (probe == NULL)
		return false;
	known = io_uring_opcode_supported(probe, IORING_OP_TIMEOUT) &&
		io_uring_opcode_supported(probe, IORING_OP_TIMEOUT_REMOVE) &&
		io_uring_opcode_supported(probe, IORING_OP_READ);
	plan->messages = plan->skips_success &&
		io_uring_opcode_supported(probe, IORING_OP_MSG_RING);
	io_uring_free_probe(probe);
	return known;
}

int shunt_ring_plan(struct shunt_ring_plan *plan, enum shunt_ring_setup setup, unsigned sq_entries,
	unsigned cq_entries, struct shunt_error *err)
{
	struct io_uring ring;
	int code;

	*plan = (struct shunt_ring_plan){.sq_entries = sq_entries, .cq_entries = cq_entries};
	code = find_setup(&ring, plan, setup, err);
	if (code != 0)
		return code;
	if ((plan->features & FEATURES_NEEDED) != FEATURES_NEEDED) {
		code = shunt_fail(err, -EOPNOTSUPP,
			"this kernel's io_uring lacks features that are needed (has %#x, needs %#x: "
			"NODROP, SUBMIT_STABLE, EXT_ARG); Linux 5.11 has them",
			plan->features, (unsigned)FEATURES_NEEDED);
		goto out;
	}
	plan->skips_success = plan->features & IORING_FEAT_CQE_SKIP;
	if (!operations_known(&ring, plan)) {
		code = shunt_fail(err, -EOPNOTSUPP,
			"this kernel's io_uring does not offer timeouts and reads");
		goto out;
	}
	plan->absolute_wait = absolute_wait_works(&ring);
	plan->registers_itself = io_uring_register_ring_fd(&ring) == 1;
out:
	io_uring_queue_exit(&ring);
	return code;
}

void shunt_ring_plan_facts(const struct shunt_ring_plan *plan, const char *prefix,
	shunt_fact_fn *fact, void *sink)
{
	static const struct {
		unsigned flag;
		const char *name;
	} flags[] = {
		{IORING_SETUP_SINGLE_ISSUER, "SINGLE_ISSUER"},
		{IORING_SETUP_DEFER_TASKRUN, "DEFER_TASKRUN"},
		{IORING_SETUP_COOP_TASKRUN, "COOP_TASKRUN"},
		{IORING_SETUP_TASKRUN_FLAG, "TASKRUN_FLAG"},
	};
	char name[64], value[128];
	size_t used = 0;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (plan->setup_flags & flags[i].flag)
			used += (size_t)snprintf(value + used, sizeof(value) - used, "%s%s",
				used > 0 ? "|" : "", flags[i].name);
	snprintf(name, sizeof(name), "%s.setup_flags", prefix);
	fact(sink, name, used > 0 ? value : "none", "io_uring_setup");
	snprintf(name, sizeof(name), "%s.features", prefix);
	snprintf(value, sizeof(value), "%#x", plan->features);
	fact(sink, name, value, "io_uring_setup");
	snprintf(name, sizeof(name), "%s.entries", prefix);
	snprintf(value, sizeof(value), "%u/%u", plan->sq_entries, plan->cq_entries);
	fact(sink, name, value, "parameter");
	snprintf(name, sizeof(name), "%s.registered_ring", prefix);
	fact(sink, name, plan->registers_itself ? "yes" : "no", "io_uring_register");
	snprintf(name, sizeof(name), "%s.wait_deadline", prefix);
	fact(sink, name, plan->absolute_wait ? "absolute" : "relative", "io_uring_enter");
	snprintf(name, sizeof(name), "%s.timer_slack", prefix);
	fact(sink, name, "none: io_uring's waits and timeouts have none", "io_uring_enter(2)");
}

/* ---- a ring ---------------------------------------------------------------------------------- */

/*
 * The kernel unmaps a ring before it maps another one at the same address, but liburing makes these
 * system calls itself, so ThreadSanitizer would take the two for one memory shared without order.
 */
#if defined(__SANITIZE_THREAD__)
#define TOLD_TO_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TOLD_TO_TSAN 1
#endif
#endif
#ifdef TOLD_TO_TSAN
#include <sanitizer/tsan_interface.h>
static char mappings;
#define mapped()    __tsan_acquire(&mappings)
#define unmapping() __tsan_release(&mappings)
#else
#define mapped()    ((void)0)
#define unmapping() ((void)0)
#endif

int shunt_ring_open(struct shunt_ring **ring, const struct shunt_ring_plan *plan,
	struct shunt_wait_calls *calls, struct shunt_error *err)
{
	struct shunt_ring *self = calloc(1, sizeof(*self));
	unsigned features, entries;
	int code;

	if (self == NULL)
		return shunt_fail(err, -ENOMEM, "out of memory for a ring");
	code = ring_init(&self->ring, plan, &features);
	if (code != 0) {
		free(self);
		return refused(code, err);
	}
	mapped();
	entries = *self->ring.sq.kring_entries;
	self->sq_mask = entries - 1;
	self->time = calloc(entries, sizeof(*self->time));
	if (self->time == NULL) {
		unmapping();
		io_uring_queue_exit(&self->ring);
		free(self);
		return shunt_fail(err, -ENOMEM, "out of memory for a ring");
	}
	for (unsigned i = 0; i < entries; i++)
		self->ring.sq.array[i] = i;
	self->calls = calls;
	self->gather_count = *self->ring.cq.kring_entries / 2;
	self->absolute_wait = plan->absolute_wait;
	self->silent = plan->skips_success;
	self->enter_fd = self->ring.ring_fd;
	if (plan->registers_itself && io_uring_register_ring_fd(&self->ring) == 1) {
		self->enter_fd = self->ring.enter_ring_fd;
		self->enter_flags = IORING_ENTER_REGISTERED_RING;
	}
	*ring = self;
	return 0;
}

void shunt_ring_close(struct shunt_ring *ring)
{
	unmapping();
	io_uring_queue_exit(&ring->ring);
	free(ring->time);
	free(ring);
}

int shunt_ring_fd(const struct shunt_ring *ring)
{
	return ring->ring.ring_fd;
}

unsigned shunt_ring_unsubmitted(const struct shunt_ring *ring)
{
	const struct io_uring_sq *sq = &ring->ring.sq;

	/* Acquire pairs with the kernel's release of the head: places before it are free. */
	return sq->sqe_tail - io_uring_smp_load_acquire(sq->khead);
}

/* The one place where the kernel is entered. */
static int enter(struct shunt_ring *ring, unsigned wait_count, unsigned flags,
	const struct __kernel_timespec *until)
{
	struct io_uring_getevents_arg arg = {.ts = (uint64_t)(uintptr_t)until};
	struct io_uring_sq *sq = &ring->ring.sq;
	int code;

	/* Release pairs with the kernel's acquire of the tail: the submissions are complete. */
	io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
	shunt_wait_called(ring->calls);
	code = io_uring_enter2(ring->enter_fd, shunt_ring_unsubmitted(ring), wait_count,
		flags | IORING_ENTER_EXT_ARG | ring->enter_flags, (sigset_t *)(void *)&arg,
		sizeof(arg));
	if (code == -EBADR) {
		ring->lost = true; /* and the submissions were taken all the same */
		code = 0;
	}
	return code;
}

static void pause_a_little(struct shunt_ring *ring)
{
	struct timespec pause = {.tv_sec = 0, .tv_nsec = PAUSE_NS};

	shunt_wait_called(ring->calls);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

int shunt_ring_submit(struct shunt_ring *ring)
{
	while (shunt_ring_unsubmitted(ring) > 0) {
		int code = enter(ring, 0, 0, NULL);

		if (code < 0 && code != -EINTR)
			return code;
	}
	return 0;
}

int shunt_ring_room(struct shunt_ring *ring, unsigned count)
{
	if (ring->sq_mask + 1 - shunt_ring_unsubmitted(ring) >= count)
		return 0;
	return shunt_ring_submit(ring);
}

int shunt_ring_wait(struct shunt_ring *ring, int64_t deadline_ns)
{
	unsigned flags = IORING_ENTER_GETEVENTS;
	struct __kernel_timespec until;
	int code;

	if (deadline_ns != SHUNT_NEVER) {
		struct timespec at;

		if (!ring->absolute_wait) {
			/* It starts after this reading, so it cannot end early. */
			int64_t now_ns = shunt_wait_now_ns();

			deadline_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
		} else {
			flags |= IORING_ENTER_ABS_TIMER;
		}
		at = shunt_wait_timespec(deadline_ns);
		until = (struct __kernel_timespec){at.tv_sec, at.tv_nsec};
	}
	code = enter(ring, 1, flags, deadline_ns != SHUNT_NEVER ? &until : NULL);
	if (code == -EAGAIN || code == -EBUSY) {
		pause_a_little(ring);
		return 0;
	}
	return code >= 0 || code == -EINTR || code == -ETIME ? 0 : code;
}

/* ---- submissions ----------------------------------------------------------------------------- */

/* The next place; its index is kept for the time that goes with it. */
static struct io_uring_sqe *next_sqe(struct shunt_ring *ring, struct __kernel_timespec **time)
{
	struct io_uring_sq *sq = &ring->ring.sq;
	unsigned index = sq->sqe_tail++ & ring->sq_mask;

	*time = &ring->time[index];
	return &sq->sqes[index];
}

static void set_time(struct __kernel_timespec *time, int64_t deadline_ns)
{
	struct timespec at = shunt_wait_timespec(deadline_ns);

	*time = (struct __kernel_timespec){at.tv_sec, at.tv_nsec};
}

void shunt_ring_add_timeout(struct shunt_ring *ring, int64_t deadline_ns, uint64_t user_data)
{
	struct __kernel_timespec *time;
	struct io_uring_sqe *sqe = next_sqe(ring, &time);

	set_time(time, deadline_ns);
	io_uring_prep_timeout(sqe, time, 0, IORING_TIMEOUT_ABS);
	io_uring_sqe_set_data64(sqe, user_data);
}

void shunt_ring_add_update(struct shunt_ring *ring, uint64_t target, int64_t deadline_ns,
	uint64_t user_data)
{
	struct __kernel_timespec *time;
	struct io_uring_sqe *sqe = next_sqe(ring, &time);

	set_time(time, deadline_ns);
	io_uring_prep_timeout_update(sqe, time, target, IORING_TIMEOUT_ABS);
	io_uring_sqe_set_data64(sqe, user_data);
	io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
}

void shunt_ring_add_remove(struct shunt_ring *ring, uint64_t target, uint64_t user_data)
{
	struct __kernel_timespec *time;
	struct io_uring_sqe *sqe = next_sqe(ring, &time);

	io_uring_prep_timeout_remove(sqe, target, 0);
	io_uring_sqe_set_data64(sqe, user_data);
	if (ring->silent)
		io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
}

void shunt_ring_add_read(struct shunt_ring *ring, int fd, uint64_t *buffer, uint64_t user_data)
{
	struct __kernel_timespec *time;
	struct io_uring_sqe *sqe = next_sqe(ring, &time);

	io_uring_prep_read(sqe, fd, buffer, sizeof(*buffer), 0);
	io_uring_sqe_set_data64(sqe, user_data);
}

void shunt_ring_add_message(struct shunt_ring *ring, int target_fd, uint64_t target_user_data,
	uint64_t user_data)
{
	struct __kernel_timespec *time;
	struct io_uring_sqe *sqe = next_sqe(ring, &time);

	io_uring_prep_msg_ring(sqe, target_fd, 0, target_user_data, 0);
	io_uring_sqe_set_data64(sqe, user_data);
	io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
}

/* ---- results --------------------------------------------------------------------------------- */

static unsigned take_ready(struct shunt_ring *ring, struct shunt_ring_result *result, unsigned room)
{
	struct io_uring_cq *cq = &ring->ring.cq;
	unsigned head = *cq->khead; /* ours alone */
	/* Acquire pairs with the kernel's release of the tail: the results are complete. */
	unsigned ready = io_uring_smp_load_acquire(cq->ktail) - head;
	unsigned mask = *cq->kring_mask, count = ready < room ? ready : room;

	for (unsigned i = 0; i < count; i++) {
		const struct io_uring_cqe *cqe = &cq->cqes[(head + i) & mask];

		result[i] = (struct shunt_ring_result){cqe->user_data, cqe->res};
	}
	/* Release pairs with the kernel's acquire of the head: the places can be reused. */
	io_uring_smp_store_release(cq->khead, head + count);
	return count;
}

/*
 * Has the kernel post what it holds back. With DEFER_TASKRUN one call posts 20 results, or as many
 * as it is told to wait for; so where many came, the next call waits for half a ring, for no time.
 */
static void ask(struct shunt_ring *ring)
{
	static const struct __kernel_timespec no_time;

	/* Refused, it does nothing, and the next look asks again. */
	enter(ring, ring->gather ? ring->gather_count : 0, IORING_ENTER_GETEVENTS, &no_time);
}

unsigned shunt_ring_take(struct shunt_ring *ring, struct shunt_ring_result *result, unsigned room)
{
	unsigned count = take_ready(ring, result, room), held_back, more;

	if (count == room)
		return count;
	/* Relaxed: the kernel sets the flag before anything that would tell us to look, and a flag
	 * seen late is seen at the next look. */
	held_back = IO_URING_READ_ONCE(*ring->ring.sq.kflags) & HELD_BACK;
	if (held_back & IORING_SQ_CQ_OVERFLOW)
		ring->overflows += !ring->overflowing;
	ring->overflowing = held_back & IORING_SQ_CQ_OVERFLOW;
	if (held_back == 0)
		return count;
	ask(ring);
	more = take_ready(ring, result + count, room - count);
	ring->gather = more >= MANY;
	return count + more;
}

bool shunt_ring_lost(struct shunt_ring *ring)
{
	bool lost = ring->lost;

	ring->lost = false;
	return lost;
}

uint64_t shunt_ring_overflows(const struct shunt_ring *ring)
{
	return ring->overflows;
}
