/* SPDX-License-Identifier: MIT */
/*
 * epoll: a worker sleeps in epoll_wait on an eventfd, which wakes it, and on its deadline.
 *
 * The deadline is a timerfd (absolute, CLOCK_MONOTONIC). It costs a second system call whenever the
 * deadline changes and has no timer slack. The timeout of epoll_pwait2(2) costs no call, but may
 * end late by the thread's slack or a thousandth of the wait, whichever is more. That of
 * epoll_wait(2) counts milliseconds.
 *
 * Both descriptors are edge-triggered, so that neither is ever read. The protocol of the word that
 * spares a waker the write is in host.h; an eventfd remembers a write that comes before the sleep,
 * so there is no prepare().
 */
#include "backends/wait/host.h"
#include "core/engine/slots.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NOT_ARMED 0
/* Events taken in one call. */
#define BATCH 256
/* What an event is about: smaller than any data of watch(). */
enum { ABOUT_WAKE, ABOUT_TIMER, ABOUT_LEAST };

struct epoll_slot {
	/* Any thread. */
	_Alignas(SHUNT_WAIT_LINE_BYTES) struct shunt_wait_word word;
	int event_fd;
	/* The worker's, but for a count. */
	_Alignas(SHUNT_WAIT_LINE_BYTES) struct shunt_wait_calls calls;
	int64_t armed_ns; /* what the timerfd is set to, or NOT_ARMED */
	int epoll_fd;
	int timer_fd;
	shunt_event_fn *event;
	void *arg;
	struct epoll_event batch[BATCH]; /* not on the stack: it may be a task's, and small */
	/* [epoll:watched] descriptors; others may close some */
	_Alignas(SHUNT_WAIT_LINE_BYTES) _Atomic int watched;
};

struct epoll_wait {
	shunt_event_fn *event;
};

static int epoll_open(void **wait, const struct shunt_wait_config *config, struct shunt_error *err)
{
	struct epoll_wait *self = malloc(sizeof(*self));

	if (self == NULL)
		return shunt_fail(err, -ENOMEM, "out of memory for the epoll wait");
	self->event = config->event;
	*wait = self;
	return 0;
}

static void epoll_close(void *wait)
{
	free(wait);
}

static int add(const struct epoll_slot *slot, int fd, uint32_t events, uint64_t about)
{
	struct epoll_event event = {.events = events | EPOLLET, .data.u64 = about};

	return epoll_ctl(slot->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int descriptors_open(struct epoll_slot *slot, struct shunt_error *err)
{
	int code;

	slot->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (slot->epoll_fd < 0)
		return shunt_fail(err, -errno, "epoll_create1: %s", strerror(errno));
	slot->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (slot->event_fd < 0)
		return shunt_fail(err, -errno, "eventfd: %s", strerror(errno));
	code = add(slot, slot->event_fd, EPOLLIN, ABOUT_WAKE);
	if (code != 0)
		return shunt_fail(err, code, "epoll_ctl: %s", strerror(-code));
	slot->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (slot->timer_fd < 0)
		return shunt_fail(err, -errno, "timerfd_create: %s", strerror(errno));
	code = add(slot, slot->timer_fd, EPOLLIN, ABOUT_TIMER);
	return code == 0 ? 0 : shunt_fail(err, code, "epoll_ctl: %s", strerror(-code));
}

static void descriptors_close(struct epoll_slot *slot)
{
	if (slot->timer_fd >= 0)
		close(slot->timer_fd);
	if (slot->event_fd >= 0)
		close(slot->event_fd);
	if (slot->epoll_fd >= 0)
		close(slot->epoll_fd);
}

static int epoll_start(void *wait, unsigned worker_index, void *arg, void **slot,
	struct shunt_error *err)
{
	struct epoll_wait *self = wait;
	struct epoll_slot *new = aligned_alloc(SHUNT_WAIT_LINE_BYTES, sizeof(*new));
	int code;

	(void)worker_index;
	if (new == NULL)
		return shunt_fail(err, -ENOMEM, "out of memory for a worker's epoll");
	memset(new, 0, sizeof(*new));
	new->epoll_fd = new->event_fd = new->timer_fd = -1;
	new->armed_ns = NOT_ARMED;
	new->event = self->event;
	new->arg = arg;
	code = descriptors_open(new, err);
	if (code != 0) {
		descriptors_close(new);
		free(new);
		return code;
	}
	*slot = new;
	return 0;
}

static void epoll_stop(void *slot)
{
	struct epoll_slot *self = slot;

	descriptors_close(self);
	free(self);
}

/* An old deadline may stay armed when there is none now: it ends one sleep spuriously, where a
 * call to disarm it would cost every sleep. */
static int arm_timer(struct epoll_slot *self, int64_t deadline_ns)
{
	struct itimerspec at = {.it_interval = {0, 0}};

	if (deadline_ns < 1)
		deadline_ns = 1; /* 0 would disarm it */
	if (deadline_ns == SHUNT_NEVER || deadline_ns == self->armed_ns)
		return 0;
	at.it_value = shunt_wait_timespec(deadline_ns);
	shunt_wait_called(&self->calls);
	if (timerfd_settime(self->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) != 0)
		return -errno;
	self->armed_ns = deadline_ns;
	return 0;
}

static void deliver(struct epoll_slot *self, const struct epoll_event *event)
{
	bool broken = event->events & (EPOLLERR | EPOLLHUP);
	bool ended = broken || event->events & (EPOLLRDHUP | EPOLLPRI);
	int64_t value = ended ? SHUNT_EVENT_END : 0;

	if (event->data.u64 == ABOUT_TIMER)
		self->armed_ns = NOT_ARMED;
	if (event->data.u64 < ABOUT_LEAST)
		return;
	if (ended || event->events & EPOLLIN)
		value |= SHUNT_EVENT_IN;
	if (broken || event->events & EPOLLOUT)
		value |= SHUNT_EVENT_OUT;
	self->event(self->arg, event->data.u64, value);
}

/* Takes a batch of events; what is left over is taken at the next look. */
static int take_events(struct epoll_slot *self, int timeout_ms)
{
	shunt_wait_called(&self->calls);
	int count = epoll_wait(self->epoll_fd, self->batch, BATCH, timeout_ms);

	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++)
		deliver(self, &self->batch[i]);
	return 0;
}

static int sleep_until(struct epoll_slot *self, int64_t deadline_ns)
{
	int code = arm_timer(self, deadline_ns);

	return code == 0 ? take_events(self, -1) : code;
}

static void epoll_collect(void *slot)
{
	struct epoll_slot *self = slot;

	/* Relaxed: none that the worker itself watches is missed [epoll:watched]. */
	if (atomic_load_explicit(&self->watched, memory_order_relaxed) > 0)
		take_events(self, 0);
}

static int epoll_commit(void *slot, int64_t deadline_ns)
{
	struct epoll_slot *self = slot;
	int code = 0;

	if (shunt_wait_word_sleep(&self->word))
		code = sleep_until(self, deadline_ns);
	else
		epoll_collect(self);
	shunt_wait_word_awake(&self->word);
	return code == -EINTR ? 0 : code;
}

static void epoll_wake(void *target, void *from)
{
	struct epoll_slot *self = target;
	struct epoll_slot *waker = from;

	if (!shunt_wait_word_notify(&self->word))
		return;
	shunt_wait_called_for(&self->calls, waker != NULL ? &waker->calls : NULL);
	/* Can only fail when 2^64 - 2 writes have gone before. */
	(void)!write(self->event_fd, &(uint64_t){1}, sizeof(uint64_t));
}

static int epoll_watch(void *slot, int fd, uint64_t data)
{
	struct epoll_slot *self = slot;

	shunt_wait_called(&self->calls);
	int code = add(self, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI, data);

	/* Relaxed: a count [epoll:watched]. */
	if (code == 0)
		atomic_fetch_add_explicit(&self->watched, 1, memory_order_relaxed);
	return code;
}

static void epoll_unwatch(void *slot, int fd)
{
	struct epoll_slot *self = slot;

	shunt_wait_called_for(&self->calls, NULL);
	epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	/* Relaxed: a count [epoll:watched]. */
	atomic_fetch_sub_explicit(&self->watched, 1, memory_order_relaxed);
}

static void epoll_facts(const void *wait, shunt_fact_fn *fact, void *sink)
{
	(void)wait;
	fact(sink, "wait.epoll.timer_slack", "none: a timerfd has none", "timerfd_create(2)");
}

static uint64_t epoll_syscalls(const void *slot)
{
	const struct epoll_slot *self = slot;

	return shunt_wait_calls_sum(&self->calls);
}

const struct shunt_wait shunt_wait_epoll = {
	.name = "epoll",
	.summary = "sleeps in epoll_wait on a timerfd and an eventfd",
	.open = epoll_open,
	.close = epoll_close,
	.start = epoll_start,
	.stop = epoll_stop,
	.commit = epoll_commit,
	.wake = epoll_wake,
	.facts = epoll_facts,
	.syscalls = epoll_syscalls,
	.watch = epoll_watch,
	.unwatch = epoll_unwatch,
	.collect = epoll_collect,
};
