/* SPDX-License-Identifier: MIT */
/*
 * A ring on liburing (2.3 or newer).
 *
 * liburing sets the ring up, maps it and fills submissions in. The system call is made here, by
 * one function: that is what counts calls exactly, and takes flags that liburing's own functions
 * do not pass on. For that the submission array is filled once with the identity, and publishing
 * the tail is all there is to a flush.
 *
 * Not used: SQPOLL, whose kernel thread would be a hidden second CPU in every comparison.
 */
#include "backends/wait/ring_plan.h"

#include "core/io_op.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

#define HELD_BACK (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)
#define PAUSE_NS  100000 /* after a refusal: out of memory */

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
	uint64_t overflows;
};

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
	code = shunt_ring_init(&self->ring, plan, &features);
	if (code != 0) {
		free(self);
		return shunt_ring_refused(code, err);
	}
	mapped();
	entries = *self->ring.sq.kring_entries;
	self->sq_mask = entries - 1;
	self->time = calloc(entries, sizeof(*self->time));
	if (self->time == NULL) {
		shunt_ring_close(self);
		return shunt_fail(err, -ENOMEM, "out of memory for a ring");
	}
	for (unsigned i = 0; i < entries; i++)
		self->ring.sq.array[i] = i;
	self->absolute_wait = plan->absolute_wait;
	self->silent = plan->skips_success;
	self->enter_fd = self->ring.ring_fd;
	self->calls = calls;
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

void shunt_ring_add_operation(struct shunt_ring *ring, const struct shunt_io_op *op,
	uint64_t user_data)
{
	struct __kernel_timespec *time;
	struct io_uring_sqe *sqe = next_sqe(ring, &time);
	uint64_t offset = (uint64_t)op->offset;
	unsigned bytes = op->bytes > INT_MAX ? INT_MAX : (unsigned)op->bytes;

	switch (op->code) {
	case SHUNT_IO_READ:
		io_uring_prep_read(sqe, op->fd, op->buffer, bytes, offset);
		break;
	case SHUNT_IO_WRITE:
		io_uring_prep_write(sqe, op->fd, op->buffer, bytes, offset);
		break;
	case SHUNT_IO_READV:
		io_uring_prep_readv(sqe, op->fd, op->buffer, bytes, offset);
		break;
	case SHUNT_IO_WRITEV:
		io_uring_prep_writev(sqe, op->fd, op->buffer, bytes, offset);
		break;
	case SHUNT_IO_RECV:
		io_uring_prep_recv(sqe, op->fd, op->buffer, bytes, op->flags);
		break;
	case SHUNT_IO_SEND:
		io_uring_prep_send(sqe, op->fd, op->buffer, bytes, op->flags);
		break;
	case SHUNT_IO_ACCEPT:
		io_uring_prep_accept(sqe, op->fd, NULL, NULL, op->flags);
		break;
	case SHUNT_IO_CONNECT:
		io_uring_prep_connect(sqe, op->fd, op->buffer, (socklen_t)bytes);
		break;
	case SHUNT_IO_OPEN:
		io_uring_prep_openat(sqe, AT_FDCWD, op->buffer, op->flags, op->mode);
		break;
	default:
		io_uring_prep_fsync(sqe, op->fd, 0);
	}
	io_uring_sqe_set_data64(sqe, user_data);
}

static void add_cancel(struct shunt_ring *ring, uint64_t target, int flags, uint64_t user_data)
{
	struct __kernel_timespec *time;
	struct io_uring_sqe *sqe = next_sqe(ring, &time);

	io_uring_prep_cancel64(sqe, target, flags);
	io_uring_sqe_set_data64(sqe, user_data);
}

void shunt_ring_add_cancel(struct shunt_ring *ring, uint64_t target, uint64_t user_data)
{
	add_cancel(ring, target, 0, user_data);
}

void shunt_ring_add_cancel_all(struct shunt_ring *ring, uint64_t user_data)
{
	add_cancel(ring, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL, user_data);
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

/* Does the kernel hold results back? */
static bool held_back(struct shunt_ring *ring)
{
	/* Relaxed: the kernel sets the flag before anything that would tell us to look, and a flag
	 * seen late is seen at the next look. */
	unsigned flags = IO_URING_READ_ONCE(*ring->ring.sq.kflags) & HELD_BACK;

	if (flags & IORING_SQ_CQ_OVERFLOW)
		ring->overflows += !ring->overflowing;
	ring->overflowing = flags & IORING_SQ_CQ_OVERFLOW;
	return flags != 0;
}

/*
 * With DEFER_TASKRUN one call posts 20 results. It would post as many as it is told to wait for;
 * but where fewer are there, it then sets a timer even to wait for no time: where 10,000 tasks
 * sleep, that was a seventh of all CPU time.
 */
unsigned shunt_ring_take(struct shunt_ring *ring, struct shunt_ring_result *result, unsigned room)
{
	unsigned count = take_ready(ring, result, room), more = 1;

	for (; count < room && more > 0 && held_back(ring); count += more) {
		/* Refused, it does nothing, and the next look asks again. */
		enter(ring, 0, IORING_ENTER_GETEVENTS, NULL);
		more = take_ready(ring, result + count, room - count);
	}
	return count;
}

unsigned shunt_ring_posted(const struct shunt_ring *ring)
{
	/* Acquire pairs with the kernel's release of the tail: the results are complete. */
	return io_uring_smp_load_acquire(ring->ring.cq.ktail);
}

bool shunt_ring_has_since(const struct shunt_ring *ring, unsigned before, uint64_t user_data)
{
	const struct io_uring_cq *cq = &ring->ring.cq;
	unsigned posted = shunt_ring_posted(ring), mask = *cq->kring_mask;

	for (unsigned i = before; i != posted; i++)
		if (cq->cqes[i & mask].user_data == user_data)
			return true;
	return false;
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
