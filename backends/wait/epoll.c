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

struct epoll_slot {
	/* Any thread. */
	_Alignas(SHUNT_WAIT_LINE_BYTES) struct shunt_wait_word word;
	int event_fd;
	/* The worker's, but for a count. */
	_Alignas(SHUNT_WAIT_LINE_BYTES) struct shunt_wait_calls calls;
	int64_t slack_before_ns;
	int64_t armed_ns; /* what the timerfd is set to, or NOT_ARMED */
	int epoll_fd;
	int timer_fd;
};

struct epoll_wait {
	int64_t slack_ns;
};

static int epoll_open(void **wait, const struct shunt_wait_config *config, struct shunt_error *err)
{
	struct epoll_wait *self = malloc(sizeof(*self));

	if (self == NULL)
		return shunt_fail(err, -ENOMEM, "out of memory for the epoll wait");
	self->slack_ns = config->slack_ns;
	*wait = self;
	return 0;
}

static void epoll_close(void *wait)
{
	free(wait);
}

static int watch(struct epoll_slot *slot, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};

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
	code = watch(slot, slot->event_fd);
	if (code != 0)
		return shunt_fail(err, code, "epoll_ctl: %s", strerror(-code));
	slot->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (slot->timer_fd < 0)
		return shunt_fail(err, -errno, "timerfd_create: %s", strerror(errno));
	code = watch(slot, slot->timer_fd);
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
	(void)arg;
	if (new == NULL)
		return shunt_fail(err, -ENOMEM, "out of memory for a worker's epoll");
	memset(new, 0, sizeof(*new));
	new->epoll_fd = new->event_fd = new->timer_fd = -1;
	new->armed_ns = NOT_ARMED;
	code = descriptors_open(new, err);
	if (code == 0)
		code = shunt_wait_slack_set(self->slack_ns, &new->slack_before_ns, err);
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

	shunt_wait_slack_restore(self->slack_before_ns);
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

static int sleep_until(struct epoll_slot *self, int64_t deadline_ns)
{
	struct epoll_event event[2];
	int code = arm_timer(self, deadline_ns);

	if (code != 0)
		return code;
	shunt_wait_called(&self->calls);
	code = epoll_wait(self->epoll_fd, event, 2, -1);
	if (code < 0)
		return -errno;
	for (int i = 0; i < code; i++)
		if (event[i].data.fd == self->timer_fd)
			self->armed_ns = NOT_ARMED;
	return 0;
}

static int epoll_commit(void *slot, int64_t deadline_ns)
{
	struct epoll_slot *self = slot;
	int code = 0;

	if (shunt_wait_word_sleep(&self->word))
		code = sleep_until(self, deadline_ns);
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
};
