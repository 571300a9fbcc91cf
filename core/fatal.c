/* SPDX-License-Identifier: MIT */
/*
 * A stack overflow, and a thread that ends under its task: named (fatal.h).
 *
 * A task that runs off its stack faults in its guard. The handler runs on a stack of its own, asks
 * the backend in whose guard the address is, and says which task it was and how to give it more. It
 * only reads what other threads may be changing: the process ends anyway, or the address is in no
 * guard. Any other fault goes to the handler that was there before. A thread that ends while it is
 * watched is seen by the destructor of a thread-specific value: everybody would wait for what it
 * was to do.
 */
#include "core/fatal.h"

#include "core/backend.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static __thread struct shunt_fatal *watched __attribute__((tls_model("initial-exec")));
static pthread_mutex_t handler_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned handled; /* guarded by handler_lock */
static struct sigaction before;
static void (*last_words)(const char *message);
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

void shunt_on_stack_overflow(void (*callback)(const char *message))
{
	last_words = callback;
}

static _Noreturn void tell(const char *text)
{
	size_t bytes = strlen(text);
	/* Where nobody can be told on standard error, there is still the callback. */
	if (write(STDERR_FILENO, "shunt: ", 7) == 7 &&
		write(STDERR_FILENO, text, bytes) == (ssize_t)bytes)
		(void)!write(STDERR_FILENO, "\n", 1);
	if (last_words)
		last_words(text);
	_exit(3);
}

/* "task 3 ('reader')", or with a long name as much as fits. */
static void name_of(const struct shunt_task *task, char *text, size_t bytes)
{
	snprintf(text, bytes, "task %llu%s%.128s%s", (unsigned long long)task->id,
		task->name ? " ('" : "", task->name ? task->name : "", task->name ? "')" : "");
}

/* ---- overflow -------------------------------------------------------------------------------- */

static _Noreturn void overflow(const struct shunt_fatal *fatal, const struct shunt_task *task)
{
	char name[160], text[400];
	name_of(task, name, sizeof(name));
	snprintf(text, sizeof(text),
		"stack overflow in %s: it needs more than the %zu bytes of its stack; raise the "
		"setting stack.size, for example %s:stack.size=%zuk",
		name, fatal->stack_bytes, fatal->sched->backend->name,
		fatal->stack_bytes * 4 / 1024);
	tell(text);
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	const struct shunt_task *task =
		watched ? watched->overflown(watched, (uintptr_t)info->si_addr) : NULL;
	if (task)
		overflow(watched, task);
	if (before.sa_flags & SA_SIGINFO && before.sa_sigaction) {
		before.sa_sigaction(signal, info, context);
		return;
	}
	/* The default: take ourselves off, and let the instruction fault again. */
	sigaction(signal, &before, NULL);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

void shunt_fatal_handle(bool on)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigemptyset(&action.sa_mask);
	pthread_mutex_lock(&handler_lock);
	if (!SANITIZED && on && handled == 0)
		sigaction(SIGSEGV, &action, &before);
	handled = on ? handled + 1 : handled - 1;
	if (!SANITIZED && handled == 0)
		sigaction(SIGSEGV, &before, NULL);
	pthread_mutex_unlock(&handler_lock);
}

/* ---- a thread that ends ---------------------------------------------------------------------- */

static void on_exit_of_thread(void *value)
{
	const struct shunt_fatal *fatal = value;
	const struct shunt_task *task = fatal->running(fatal);
	char name[160] = "a task", text[400];
	if (task)
		name_of(task, name, sizeof(name));
	snprintf(text, sizeof(text),
		"%s has ended the thread that it ran on (pthread_exit, pthread_cancel): a task "
		"ends by "
		"returning from its function",
		name);
	tell(text);
}

static void make_key(void)
{
	if (pthread_key_create(&key, on_exit_of_thread))
		shunt_panic("no thread-specific key is left for the scheduler's threads");
}

void shunt_fatal_watch(struct shunt_fatal *fatal, void *signal_stack)
{
	stack_t stack = {.ss_sp = signal_stack, .ss_size = SHUNT_SIGNAL_STACK_BYTES};
	pthread_once(&key_once, make_key);
	pthread_setspecific(key, fatal);
	fatal->outer = watched;
	watched = fatal;
	if (!SANITIZED)
		sigaltstack(&stack, &fatal->stack_before);
}

void shunt_fatal_unwatch(struct shunt_fatal *fatal, bool thread_ends)
{
	if (!fatal->stack_before.ss_sp)
		fatal->stack_before.ss_flags = SS_DISABLE;
	if (!SANITIZED && !thread_ends)
		sigaltstack(&fatal->stack_before, NULL);
	watched = fatal->outer;
	pthread_setspecific(key, watched);
}
