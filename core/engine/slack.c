/* SPDX-License-Identifier: MIT */
/*
 * Timer slack is the freedom the kernel takes in ending a sleep: 50 us for futex, epoll and
 * nanosleep by default, none for the waits of io_uring. A comparison of wait slots compares slack
 * unless all have the same, so the engine sets what the composition says (prctl(2),
 * PR_SET_TIMERSLACK) on each worker's thread, and puts the thread's own value back.
 */
#include "core/engine/slack.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>

/* The kernel gives threads of a real-time class no slack, and takes no other value in silence. */
static bool is_real_time(void)
{
	int class = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
	return class != SCHED_OTHER && class != SCHED_BATCH && class != SCHED_IDLE;
}

int shunt_slack_set(int64_t slack_ns, int64_t *before_ns, struct shunt_error *err)
{
	*before_ns = 0;
	if (!slack_ns)
		return 0;
	if (slack_ns > 1 && is_real_time())
		return shunt_fail(err, -EOPNOTSUPP,
			"wait.slack=%lldns cannot be set: real-time threads have no timer slack; "
			"leave it out, or run without chrt",
			(long long)slack_ns);
	int before = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	if (before < 0 || prctl(PR_SET_TIMERSLACK, slack_ns, 0, 0, 0))
		return shunt_fail(err, -errno, "cannot set the timer slack to %lld ns: %s",
			(long long)slack_ns, strerror(errno));
	*before_ns = before;
	return 0;
}

void shunt_slack_restore(int64_t before_ns)
{
	if (before_ns > 0)
		prctl(PR_SET_TIMERSLACK, before_ns, 0, 0, 0);
}
