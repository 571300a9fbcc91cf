/* SPDX-License-Identifier: MIT */
/*
 * A storm of signals, by LD_PRELOAD: the program gets a SIGALRM every SHUNT_STORM_US, whose handler
 * does nothing, and so no system call that waits lasts longer than that. It begins after
 * SHUNT_STORM_AFTER_MS.
 */
#include <signal.h>
#include <stdlib.h>
#include <time.h>

static void nothing(int number)
{
	(void)number;
}

static long number(const char *name)
{
	const char *text = getenv(name);

	return text ? atol(text) : 0;
}

static void __attribute__((constructor)) begin(void)
{
	long us = number("SHUNT_STORM_US"), after_ms = number("SHUNT_STORM_AFTER_MS");
	struct itimerspec every = {{us / 1000000, us % 1000000 * 1000},
		{after_ms / 1000, after_ms % 1000 * 1000000 + 1}};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct sigaction action = {.sa_handler = nothing};
	timer_t timer;

	if (us > 0 && sigaction(SIGALRM, &action, NULL) == 0 &&
		timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
		timer_settime(timer, 0, &every, NULL);
}
