/* SPDX-License-Identifier: MIT */
/*
 * Preemption by signals: a task that computes beyond its quantum loses the processor to another
 * ready one, without a call of its own.
 *
 * A thread, the preempter, looks when the earliest of the running slices ends. Where the slice is
 * over and another task is ready it sends that worker's thread a signal (tgkill). The handler runs
 * on the task's own stack, not on the alternate one, and switches to the next task from there: the
 * kernel's signal frame keeps all registers, vector state and the red zone. When the task is picked
 * again, the handler returns. SA_NODEFER leaves the signal unblocked for the next task.
 *
 * It switches only where the interrupted instruction lies in the section shunt_preemptible, into
 * which SHUNT_PREEMPTIBLE puts a function, and outside sections (shunt_preempt_off). So neither the
 * engine nor a sync object, a series, malloc or stdio is ever left half-way, and none of them has
 * to say so: there is no lock to forget. A step has no stack that could be left. Elsewhere the
 * handler only marks the worker; the section's end or the next checkpoint makes up for it, and the
 * preempter asks again.
 *
 * A preempted task stays on its worker until it has returned from the handler: rt_sigreturn would
 * give another worker's thread this one's alternate stack and signal mask, and code that computed
 * an address of a thread-local would use the wrong one. Where the policy's queues are the worker's
 * own, that is where it goes. Where others may take from them (steal, shared) it is held on a list
 * beside: the policy is wrapped, its pick behind the table (dispatch=vtable). A held task runs when
 * the policy has none, and before all others at one pick in HELD_PASSED_MOST.
 *
 * x86-64 alone so far: other architectures are refused, because this was not tried on them.
 *
 * Rejected: to hold back stolen tasks where they are stolen; a thief that empties an inbox, or
 * picks from a shared queue, would need the same test, in the hot path. Rejected: a copy of the
 * registers on the task's stack and a return into a yield, as Go has it. It lets tasks migrate, but
 * saves vector state a second time and needs code for each processor.
 *
 * The kernel's side: Boucher, Kalia, Andersen, Kaminsky, Lightweight Preemptible Functions (ATC
 * 2020); Shiina, Iwasaki, Taura, Balaji, Lightweight Preemptive User-Level Threads (PPoPP 2021).
 */
#include "core/engine/preempt.h"

#include "core/engine/probe.h"
#include "core/engine/service.h"
#include "core/engine/slice.h"
#include "core/engine/switch.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <ucontext.h>
#include <unistd.h>

/* It coalesces: real-time signals queue, and with SA_NODEFER a queue of them fills the stack of a
 * thread that had no processor for a while. It is ignored where nobody handles it, and debuggers
 * pass it on. */
#define SIGNAL             SIGURG
#define QUANTUM_LEAST_NS   5000 /* a preemption takes some 2 us */
#define RETRY_LEAST_NS     5000
#define PATIENCE_NS        1000000 /* between looks at a worker whose task has no quantum */
#define LINGER_NS          200000  /* all idle for so long: to rest and be roused costs 10 us */
#define HELD_PASSED_MOST   61
#define ANSWERS_MOST       1000
#define FRAMES             3     /* one interrupted handler, and one more, on the stack at a time */
#define STACK_BESIDE_BYTES 12288 /* the task's own, and the handler's calls */

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

struct shunt_preempter {
	struct shunt_engine *engine;
	pthread_t thread;
	pthread_mutex_t lock; /* guards preempt_thread of the workers */
	sem_t bell;
	int64_t idle_since_ns; /* 0: somebody runs */
	_Atomic int rests;     /* [preempter:rests] */
	_Atomic int stop;      /* [preempter:stop] */
};

/* ---- which tasks are held -------------------------------------------------------------------- */

static struct shunt_task *held_pop(struct shunt_worker *worker)
{
	struct shunt_task *task = worker->held.head;
	/* Relaxed: others ask only whether it is empty [worker:held]. */
	if (task)
		__atomic_store_n(&worker->held.head, task->next, __ATOMIC_RELAXED);
	return task;
}

static void held_push(struct shunt_worker *worker, struct shunt_task *task)
{
	task->next = NULL;
	if (worker->held.head)
		worker->held.tail->next = task;
	else
		/* Relaxed: as above. */
		__atomic_store_n(&worker->held.head, task, __ATOMIC_RELAXED);
	worker->held.tail = task;
}

/* The pick of the policy where tasks may be held. */
static struct shunt_task *pick_or_held(struct shunt_worker *worker, struct shunt_task *current)
{
	const struct shunt_policy *inner = worker->engine->inner;
	if (!worker->held.head)
		return inner->pick(worker, current);
	struct shunt_task *task = NULL;
	if (++worker->held.passed < HELD_PASSED_MOST)
		task = inner->pick(worker, NULL);
	if (task)
		return task;
	worker->held.passed = 0;
	return held_pop(worker);
}

/* ---- the handler ----------------------------------------------------------------------------- */

/* The linker's names for the ends of the section. */
extern const char __start_shunt_preemptible[] __attribute__((visibility("hidden")));
extern const char __stop_shunt_preemptible[] __attribute__((visibility("hidden")));

/* The worker that has this thread; read in the handler only, on entry. */
static __thread struct shunt_worker *watched;

#ifdef __x86_64__
static uintptr_t pc_of(const ucontext_t *context)
{
	return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
}

/* The kernel enters a handler with fresh control words; who runs next expects those of the
 * thread. */
static void take_fp_words(const ucontext_t *context)
{
	const struct _libc_fpstate *fp = context->uc_mcontext.fpregs;
	if (!fp)
		return;
	__builtin_ia32_ldmxcsr(fp->mxcsr);
	__asm__ volatile("fldcw %0" : : "m"(fp->cwd));
}
#else
static uintptr_t pc_of(const ucontext_t *context)
{
	(void)context;
	return 0;
}

static void take_fp_words(const ucontext_t *context)
{
	(void)context;
}
#endif

static bool is_preemptible(const ucontext_t *context)
{
	uintptr_t pc = pc_of(context);
	return pc >= (uintptr_t)__start_shunt_preemptible &&
	       pc < (uintptr_t)__stop_shunt_preemptible;
}

static void mark(struct shunt_worker *worker, uint64_t *count)
{
	/* Relaxed: between a handler and its thread [preempt:word]. */
	__atomic_fetch_and(&worker->ctx.preempt, ~SHUNT_PREEMPT_UNMARKED, __ATOMIC_RELAXED);
	++*count;
}

/* As a yield, but what was running goes where no other worker takes it from. */
static void give_way(struct shunt_worker *worker)
{
	struct shunt_engine *engine = worker->engine;
	struct shunt_task *current = worker->ctx.current;
	shunt_slice_end(worker);
	if (shunt_due(worker))
		shunt_service(worker);
	struct shunt_task *next = engine->policy->pick(worker, current);
	shunt_slice_begin(worker, next);
	if (next == current) {
		worker->self_picks++;
		worker->preempt.vain++;
		return;
	}
	worker->preempt.delivered++;
	if (engine->probing)
		shunt_probe_switch(worker, current, next, SHUNT_PROBE_PREEMPT);
	current->worker = worker;
	if (worker->env.others_may_take)
		held_push(worker, current);
	else
		engine->policy->enqueue(worker, current, SHUNT_WHY_YIELD | SHUNT_FROM_LOCAL);
	shunt_switch(worker, current, next, NULL);
}

static bool in_task(const struct shunt_worker *worker)
{
	const struct shunt_task *current = worker->ctx.current;
	return current && current != &worker->loop && current != &worker->dying;
}

static bool was_asked(const struct shunt_worker *worker)
{
	/* Relaxed: one signal at a time, no more [worker:preempt]. */
	return atomic_load_explicit(&worker->preempt_asked, memory_order_relaxed);
}

static void is_answered(struct shunt_worker *worker)
{
	atomic_signal_fence(memory_order_seq_cst); /* forbids that counting comes after it */
	/* Relaxed: as above. */
	atomic_store_explicit(&worker->preempt_asked, 0, memory_order_relaxed);
}

/* May the running task be left here? Else counts why not, and marks what is to be made up for. */
static bool judge(struct shunt_worker *worker, const ucontext_t *context)
{
	if (shunt_ctx_get() != &worker->ctx || !in_task(worker))
		worker->preempt.vain++;
	else if (shunt_preempt_sections(&worker->ctx))
		mark(worker, &worker->preempt.in_section);
	else if (worker->ctx.current->step || !is_preemptible(context))
		mark(worker, &worker->preempt.elsewhere);
	else
		return true;
	return false;
}

/* A run inside a task of another has its thread: what that one was sent comes to nothing. */
static void disappoint(struct shunt_worker *worker)
{
	for (; worker; worker = worker->outer)
		if (was_asked(worker)) {
			worker->preempt.vain++;
			is_answered(worker);
		}
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	struct shunt_worker *worker = watched;
	(void)signal, (void)info;
	if (!worker)
		return;
	int before = *worker->errno_at;
	bool may_switch = judge(worker, context);
	disappoint(worker->outer);
	/* Last, so that no other handler interrupts this one while it counts. */
	is_answered(worker);
	if (may_switch && shunt_slice_is_over(worker)) {
		take_fp_words(context);
		give_way(worker);
	} else if (may_switch) {
		worker->preempt.vain++;
	}
	*worker->errno_at = before;
}

/* ---- the preempter --------------------------------------------------------------------------- */

/* Is another task ready there, or about to be? A guess: the handler looks again. */
static bool others_wait(const struct shunt_worker *worker, int64_t now_ns)
{
	/* Relaxed: a guess. */
	int64_t deadline = atomic_load_explicit(&worker->next_deadline_ns, memory_order_relaxed);
	return __atomic_load_n(&worker->held.head, __ATOMIC_RELAXED) ||
	       worker->engine->policy->has_ready(worker) || !shunt_worker_inbox_empty(worker) ||
	       deadline <= now_ns;
}

static void send(struct shunt_preempter *preempter, struct shunt_worker *worker)
{
	pthread_mutex_lock(&preempter->lock);
	if (worker->preempt_thread) {
		/* Relaxed: as in was_asked. */
		atomic_store_explicit(&worker->preempt_asked, 1, memory_order_relaxed);
		worker->preempt.asked++;
		syscall(SYS_tgkill, getpid(), worker->preempt_thread, SIGNAL);
	}
	pthread_mutex_unlock(&preempter->lock);
}

/* When to look at this worker again, in ns; sends it a signal if that is due. */
static int64_t look_at(struct shunt_preempter *preempter, struct shunt_worker *worker,
	int64_t now_ns)
{
	/* Relaxed: a guess; the handler looks again [worker:slice]. */
	int64_t quantum_ns = __atomic_load_n(&worker->quantum_ns, __ATOMIC_RELAXED);
	int64_t slice_ns = __atomic_load_n(&worker->slice_ns, __ATOMIC_RELAXED);
	if (!quantum_ns)
		return PATIENCE_NS;
	int64_t left_ns = slice_ns + quantum_ns - now_ns;
	if (left_ns > 0)
		return left_ns;
	if (!others_wait(worker, now_ns))
		return quantum_ns;
	if (!was_asked(worker))
		send(preempter, worker);
	return quantum_ns / 4 > RETRY_LEAST_NS ? quantum_ns / 4 : RETRY_LEAST_NS;
}

/* When to look again, in ns; 0: all workers are idle. */
static int64_t look(struct shunt_preempter *preempter, int64_t now_ns)
{
	struct shunt_engine *engine = preempter->engine;
	int64_t again_ns = 0;
	for (unsigned i = 0; i < engine->worker_count; i++) {
		struct shunt_worker *worker = engine->workers[i];
		/* Relaxed: ordered by the fence in rest, or a guess [worker:idle]. */
		if (atomic_load_explicit(&worker->idle, memory_order_relaxed))
			continue;
		int64_t wait_ns = look_at(preempter, worker, now_ns);
		if (!again_ns || wait_ns < again_ns)
			again_ns = wait_ns;
	}
	return again_ns;
}

/* Sleeps for so long, or until the bell; 0: until the bell. */
static void wait_for(struct shunt_preempter *preempter, int64_t wait_ns)
{
	int64_t until_ns = (int64_t)shunt_clock_monotonic_ns() + wait_ns;
	struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
	if (wait_ns)
		sem_clockwait(&preempter->bell, CLOCK_MONOTONIC, &until);
	else
		sem_wait(&preempter->bell);
}

/* Until a worker goes to run a task. */
static void rest(struct shunt_preempter *preempter, int64_t now_ns)
{
	/* Relaxed: ordered by the fence [preempter:rests]. */
	atomic_store_explicit(&preempter->rests, 1, memory_order_relaxed);
	/* Forbids that workers are looked at before they see it rest; pairs with the one in
	 * shunt_preempter_need. */
	shunt_full_fence();
	/* Acquire pairs with the release in shunt_preempter_stop [preempter:stop]. */
	if (!look(preempter, now_ns) &&
		!atomic_load_explicit(&preempter->stop, memory_order_acquire))
		wait_for(preempter, 0);
	/* Relaxed: a bell rung for nothing does no harm [preempter:rests]. */
	atomic_store_explicit(&preempter->rests, 0, memory_order_relaxed);
	preempter->idle_since_ns = 0;
}

/* The kernel lets a thread with a short slice run soon after it wakes, on a CPU that is busy, too
 * (since Linux 6.12; before that it ignores the request). */
static void be_prompt(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime_ns, deadline_ns, period_ns;
	} attr = {.size = sizeof(attr), .policy = SCHED_OTHER, .runtime_ns = 100000};
	if (sched_getscheduler(0) == SCHED_OTHER) {
		attr.nice = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
		syscall(SYS_sched_setattr, 0, &attr, 0);
	}
	prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
}

static void *preempter_main(void *arg)
{
	struct shunt_preempter *preempter = arg;
	pthread_setname_np(pthread_self(), "preempter");
	be_prompt();
	/* Acquire pairs with the release in shunt_preempter_stop [preempter:stop]. */
	while (!atomic_load_explicit(&preempter->stop, memory_order_acquire)) {
		int64_t now_ns = (int64_t)shunt_clock_ns(&preempter->engine->clock);
		int64_t wait_ns = look(preempter, now_ns);
		if (wait_ns) {
			preempter->idle_since_ns = 0;
			wait_for(preempter, wait_ns);
		} else if (!preempter->idle_since_ns) {
			preempter->idle_since_ns = now_ns;
			wait_for(preempter, LINGER_NS);
		} else {
			rest(preempter, now_ns);
		}
	}
	return NULL;
}

void shunt_preempter_need(struct shunt_engine *engine)
{
	/* Forbids that it is seen awake before it sees this worker run; pairs with the one in
	 * rest. */
	shunt_full_fence();
	/* Relaxed: ordered by the fence [preempter:rests]. */
	if (atomic_load_explicit(&engine->preempter->rests, memory_order_relaxed))
		sem_post(&engine->preempter->bell);
}

/* ---- watching threads ------------------------------------------------------------------------ */

void shunt_preempt_watch(struct shunt_worker *worker)
{
	struct shunt_preempter *preempter = worker->engine->preempter;
	sigset_t signal, before;
	if (!preempter)
		return;
	worker->outer = watched;
	watched = worker;
	sigemptyset(&signal);
	sigaddset(&signal, SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &signal, &before);
	worker->preempt_blocked = sigismember(&before, SIGNAL);
	pthread_mutex_lock(&preempter->lock);
	worker->preempt_thread = (int)syscall(SYS_gettid);
	pthread_mutex_unlock(&preempter->lock);
}

void shunt_preempt_unwatch(struct shunt_worker *worker)
{
	struct shunt_preempter *preempter = worker->engine->preempter;
	sigset_t signal;
	if (!preempter)
		return;
	pthread_mutex_lock(&preempter->lock);
	worker->preempt_thread = 0;
	pthread_mutex_unlock(&preempter->lock);
	/* One on its way comes with a system call's return, unless a task has blocked it. */
	for (int i = 0; was_asked(worker) && i < ANSWERS_MOST; i++)
		sched_yield();
	sigemptyset(&signal);
	sigaddset(&signal, SIGNAL);
	if (worker->preempt_blocked)
		pthread_sigmask(SIG_BLOCK, &signal, NULL);
	watched = worker->outer;
}

/* ---- start and stop -------------------------------------------------------------------------- */

/* Stays for the life of the process: a run inside a task may still need it, and alone it does
 * nothing. */
static int handler_install(void)
{
	struct sigaction action = {.sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
	sigemptyset(&action.sa_mask);
	return sigaction(SIGNAL, &action, NULL) ? -errno : 0;
}

static int thread_start(struct shunt_preempter *preempter)
{
	sigset_t all, before;
	sigfillset(&all);
	int rc = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (rc)
		return -rc;
	rc = pthread_create(&preempter->thread, NULL, preempter_main, preempter);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

static void preempter_free(struct shunt_preempter *preempter)
{
	sem_destroy(&preempter->bell);
	pthread_mutex_destroy(&preempter->lock);
	free(preempter);
}

int shunt_preempter_start(struct shunt_engine *engine)
{
	if (engine->preempt != SHUNT_PREEMPT_SIGNAL)
		return 0;
	struct shunt_preempter *preempter = calloc(1, sizeof(*preempter));
	if (!preempter)
		return -ENOMEM;
	preempter->engine = engine;
	pthread_mutex_init(&preempter->lock, NULL);
	sem_init(&preempter->bell, 0, 0);
	int rc = handler_install();
	if (!rc)
		rc = thread_start(preempter);
	if (rc)
		preempter_free(preempter);
	else
		engine->preempter = preempter;
	return rc;
}

void shunt_preempter_stop(struct shunt_engine *engine)
{
	struct shunt_preempter *preempter = engine->preempter;
	if (!preempter)
		return;
	engine->preempter = NULL;
	/* Release pairs with the acquires in preempter_main and rest [preempter:stop]. */
	atomic_store_explicit(&preempter->stop, 1, memory_order_release);
	sem_post(&preempter->bell);
	pthread_join(preempter->thread, NULL);
	preempter_free(preempter);
}

/* ---- what cannot ----------------------------------------------------------------------------- */

bool shunt_preempt_kernel_corrupts(const char *release)
{
	unsigned major = 0, minor = 0, patch = 0;
	if (sscanf(release, "%u.%u.%u", &major, &minor, &patch) < 2 || major != 5)
		return false;
	return minor == 2 || (minor == 3 && patch < 15) || (minor == 4 && patch < 2);
}

/* What this build, processor or kernel cannot do. */
static int check_machine(struct shunt_error *err)
{
	struct utsname name;
	struct sigaction action;
#ifdef SHUNT_SANITIZED
	return shunt_fail(err, -ENOTSUP,
		"preempt=signal: the sanitizer of this build does not follow a switch out of a "
		"signal's handler; use a build without, or preempt=checkpoint");
#endif
#ifndef __x86_64__
	return shunt_fail(err, -ENOTSUP,
		"preempt=signal was only tried on x86-64; use preempt=checkpoint here");
#endif
	if (shunt_has_shadow_stack())
		return shunt_fail(err, -ENOTSUP,
			"preempt=signal: this process has a shadow stack, which a switch out of a "
			"signal's handler leaves behind; start it without one (GLIBC_TUNABLES), or "
			"use preempt=checkpoint");
	if (uname(&name) == 0 && shunt_preempt_kernel_corrupts(name.release))
		return shunt_fail(err, -ENOTSUP,
			"preempt=signal: Linux %s loses vector registers when a signal's handler "
			"returns (5.2 to 5.3.14, 5.4.0 and 5.4.1 do); use another kernel, or "
			"preempt=checkpoint",
			name.release);
	if (sigaction(SIGNAL, NULL, &action) == 0 && action.sa_handler != SIG_DFL &&
		action.sa_sigaction != on_signal)
		return shunt_fail(err, -EBUSY,
			"preempt=signal: this program handles SIGURG itself; "
			"leave it to the scheduler, or use preempt=checkpoint");
	return 0;
}

/* The kernel puts the registers on the task's stack. */
static int check_stack(const struct shunt_engine *engine, struct shunt_error *err)
{
	size_t frame = getauxval(AT_MINSIGSTKSZ);
	size_t needed = STACK_BESIDE_BYTES + FRAMES * (frame ? frame : 4096);
	if (engine->stacks.bytes >= needed)
		return 0;
	return shunt_fail(err, -EINVAL,
		"preempt=signal with stack.size=%zu: this processor's registers take %zu bytes a "
		"signal; use stack.size=%zuk or more",
		engine->stacks.bytes, frame, (needed + 1023) / 1024);
}

static int check_quantum(const struct shunt_engine *engine, struct shunt_error *err)
{
	int64_t quantum_ns = shunt_value_int(&engine->own, "quantum");
	if (!quantum_ns && !engine->policy->quantum)
		return shunt_fail(err, -EINVAL,
			"preempt=signal without a quantum: nothing would ever be preempted; say "
			"quantum=100us, or another one from 5us on");
	if (quantum_ns && quantum_ns < QUANTUM_LEAST_NS)
		return shunt_fail(err, -ERANGE,
			"preempt=signal with quantum=%" PRId64
			"ns: a preemption by a signal takes some 2000 ns, and the signal often "
			"more to arrive; use quantum=5us or more, or preempt=checkpoint",
			quantum_ns);
	return 0;
}

/* With tasks that others may take, some are held: the policy is asked through `wrapped`. */
static void wrap(struct shunt_engine *engine)
{
	if (engine->worker_count == 1 || (!engine->policy->steals && !engine->policy->shared))
		return;
	engine->inner = engine->policy;
	engine->wrapped = *engine->policy;
	engine->wrapped.pick = pick_or_held;
	engine->policy = &engine->wrapped;
}

static int open_signal(struct shunt_engine *engine, struct shunt_error *err)
{
	if (engine->sim)
		return shunt_fail(err, -ENOTSUP,
			"preempt=signal with wait=%s: there are no signals in virtual time; "
			"preempt=checkpoint is exact there",
			engine->wait_slot->name);
	int rc = check_machine(err);
	if (!rc)
		rc = check_stack(engine, err);
	if (!rc)
		rc = check_quantum(engine, err);
	if (!rc)
		wrap(engine);
	return rc;
}

int shunt_preempt_open(struct shunt_engine *engine, struct shunt_error *err)
{
	const char *preempt = shunt_value_text(&engine->own, "preempt");
	engine->preempt = SHUNT_PREEMPT_CHECKPOINT;
	if (!strcmp(preempt, "none"))
		engine->preempt = SHUNT_PREEMPT_NONE;
	if (!strcmp(preempt, "signal"))
		engine->preempt = SHUNT_PREEMPT_SIGNAL;
	if (engine->preempt == SHUNT_PREEMPT_NONE && shunt_value_int(&engine->own, "quantum"))
		return shunt_fail(err, -EINVAL,
			"preempt=none with a quantum: nothing would end it; leave quantum out, or "
			"say preempt=checkpoint");
	return engine->preempt == SHUNT_PREEMPT_SIGNAL ? open_signal(engine, err) : 0;
}
