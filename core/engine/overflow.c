/* SPDX-License-Identifier: MIT */
/*
 * A stack overflow, named.
 *
 * A task that runs off its stack faults in its guard. The handler runs on a stack of its own, finds
 * the worker of the thread and the task in whose guard the address is, and says which task it was and
 * how to give it more. It only reads what other workers may be changing: the process ends anyway, or
 * the address is in no guard. Any other fault goes to the handler that was there
 * before. Sanitizer builds keep their own handler.
 */
#include "core/engine/overflow.h"

#include "core/engine/sanitize.h"
#include "core/engine/task_pool.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIGNAL_STACK_BYTES (64 * 1024)

static __thread struct shunt_worker *watched __attribute__((tls_model("initial-exec")));
static pthread_mutex_t handler_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned watchers; /* guarded by handler_lock */
static struct sigaction before;
static void (*last_words)(const char *message);

void shunt_on_stack_overflow(void (*callback)(const char *message))
{
	last_words = callback;
}

static _Noreturn void overflow(const struct shunt_worker *worker, const struct shunt_task *task)
{
	char text[400];
	size_t bytes = worker->engine->stacks.bytes;
	int n = snprintf(text, sizeof(text),
		"stack overflow in task %llu%s%s%s: it needs more than "
		"the %zu bytes of its stack; raise the setting stack.size, for example "
		"%s:stack.size=%zuk",
		(unsigned long long)task->id, task->name ? " ('" : "", task->name ? task->name : "",
		task->name ? "')" : "", bytes, worker->engine->sched.backend->name,
		bytes * 4 / 1024);
	if (n >= (int)sizeof(text)) /* a long name */
		n = sizeof(text) - 1;
	/* Where nobody can be told on standard error, there is still the callback. */
	if (write(STDERR_FILENO, "shunt: ", 7) == 7 && write(STDERR_FILENO, text, (size_t)n) == n)
		(void)!write(STDERR_FILENO, "\n", 1);
	if (last_words)
		last_words(text);
	_exit(3);
}

struct fault {
	const struct shunt_worker *worker;
	uintptr_t at;
};

static void if_in_its_guard(void *arg, const struct shunt_task *task)
{
	const struct fault *fault = arg;
	const struct shunt_stack *stack = task->stack;
	if (!stack)
		return;
	uintptr_t low = (uintptr_t)stack->low;
	if (fault->at < low && fault->at >= low - fault->worker->engine->stacks.guard_bytes)
		overflow(fault->worker, task);
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	struct fault fault = {watched, (uintptr_t)info->si_addr};
	if (watched) {
		if (watched->ctx.current)
			if_in_its_guard(&fault, watched->ctx.current);
		/* In the last steps of a switch the next task is the running one already, and the
		 * registers are still saved on the stack of the one before. */
		shunt_task_pool_each(watched->engine, if_in_its_guard, &fault);
	}
	if (before.sa_flags & SA_SIGINFO && before.sa_sigaction) {
		before.sa_sigaction(signal, info, context);
		return;
	}
	/* The default: take ourselves off, and let the instruction fault again. */
	sigaction(signal, &before, NULL);
}

static void install(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, &before);
}

int shunt_overflow_watch(struct shunt_worker *worker)
{
#ifdef SHUNT_SANITIZED
	(void)worker, (void)install, (void)watchers, (void)handler_lock;
	return 0;
#else
	worker->signal_stack = malloc(SIGNAL_STACK_BYTES);
	if (!worker->signal_stack)
		return -ENOMEM;
	stack_t stack = {.ss_sp = worker->signal_stack, .ss_size = SIGNAL_STACK_BYTES};
	sigaltstack(&stack, &worker->signal_stack_before);
	worker->watched_before = watched;
	watched = worker;
	pthread_mutex_lock(&handler_lock);
	if (watchers++ == 0)
		install();
	pthread_mutex_unlock(&handler_lock);
	return 0;
#endif
}

void shunt_overflow_unwatch(struct shunt_worker *worker)
{
#ifndef SHUNT_SANITIZED
	pthread_mutex_lock(&handler_lock);
	if (--watchers == 0)
		sigaction(SIGSEGV, &before, NULL);
	pthread_mutex_unlock(&handler_lock);
	watched = worker->watched_before;
	if (worker->signal_stack_before.ss_sp == NULL)
		worker->signal_stack_before.ss_flags = SS_DISABLE;
	sigaltstack(&worker->signal_stack_before, NULL);
	free(worker->signal_stack);
	worker->signal_stack = NULL;
#else
	(void)worker;
#endif
}
