/* SPDX-License-Identifier: MIT */
/*
 * A crash, told before the process dies of it.
 *
 * The handler says which signal and where, hands that to whoever can still write a record (the
 * watcher), waits for it to end the process, and if nobody does dies of the signal as usual. Only
 * signals that nobody else handles are taken, so a sanitizer keeps its own. The engine's handler of
 * stack overflows is installed later and passes on what it does not know.
 */
#include "core/harness/run.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const int fatal[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
#define FATAL (sizeof(fatal) / sizeof(fatal[0]))

/* One run at a time has them; set before the handlers are in place. */
static void (*last_words)(const char *message);
static bool taken[FATAL];

static void on_crash(int number, siginfo_t *info, void *context)
{
	char text[128];

	(void)context;
	/* Against the letter of the law for signal handlers; a program that crashed in snprintf is
	 * not helped by obeying it. */
	if (number == SIGABRT)
		snprintf(text, sizeof(text), "aborted: standard error says why");
	else
		snprintf(text, sizeof(text), "crashed: SIG%s at address %p", sigabbrev_np(number),
			info->si_addr);
	if (last_words)
		last_words(text);
	signal(number, SIG_DFL);
	raise(number);
}

void shunt_crash_watch(void (*callback)(const char *message))
{
	struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK},
			 now;

	last_words = callback;
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < FATAL; i++) {
		taken[i] = sigaction(fatal[i], NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
			   now.sa_handler == SIG_DFL;
		if (taken[i])
			sigaction(fatal[i], &action, NULL);
	}
}

void shunt_crash_unwatch(void)
{
	for (size_t i = 0; i < FATAL; i++)
		if (taken[i])
			signal(fatal[i], SIG_DFL);
	last_words = NULL;
}
