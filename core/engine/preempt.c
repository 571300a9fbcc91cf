/* SPDX-License-Identifier: MIT */
/*
 * Preemption by signals: a task that computes beyond its quantum loses the processor to another
 * ready one, without a call of its own.
 *
 * Signals come from a thread (ticks.c), where a slice is over and another task is ready. The
 * handler runs on the task's own stack, not on the alternate one, and switches to the next task
 * from there. The kernel's signal frame keeps all registers, vector state and the red zone. When
 * the task is picked again, the handler returns. The signal is blocked while a handler runs, and
 * unblocked just before it switches: there are never more than two frames on a stack.
 *
 * It switches only where the interrupted instruction lies in the section shunt_preemptible, into
 * which SHUNT_PREEMPTIBLE puts a function, and outside sections (shunt_preempt_off). So neither the
 * engine nor a sync object, a series, malloc or stdio is ever left half-way, and none of them has
 * to say so: there is no lock to forget. A step has no stack that could be left. Elsewhere the
 * handler only marks the worker: the section's end or the next checkpoint makes up for it, or the
 * next signal does.
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
 * picks from a shared queue, would need the same test, in the hot path. Rejected: SA_NODEFER, which
 * saves the system call that unblocks. A worker that gets no processor for a while finds a next
 * signal before the handler's first instruction, again and again. Rejected: a copy of the
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
#include "core/engine/ticks.h"

#include <errno.h>
#include <ucontext.h>

#define HELD_PASSED_MOST 61

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

/* The worker that has this thread; a handler reads it on entry only. */
static __thread struct shunt_worker *watched;

/* Not inlined: a compiler may keep its address over a switch to another thread. */
__attribute__((noinline)) struct shunt_worker *shunt_preempt_watched(void)
{
	return watched;
}

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
	worker->preempt.vain += next == current;
	worker->preempt.delivered += next != current;
	if (next != current)
		shunt_slice_cut(worker);
	shunt_ticks_counted(worker);
	if (next == current) {
		worker->self_picks++;
		return;
	}
	if (engine->probing)
		shunt_probe_switch(worker, current, next, SHUNT_PROBE_PREEMPT);
	current->worker = worker;
	if (worker->env.others_may_take)
		held_push(worker, current);
	else
		engine->policy->enqueue(worker, current, SHUNT_WHY_YIELD | SHUNT_FROM_LOCAL);
	shunt_ticks_unblock();
	shunt_switch(worker, current, next, NULL);
}

static bool in_task(const struct shunt_worker *worker)
{
	const struct shunt_task *current = worker->ctx.current;
	return current && current != &worker->loop && current != &worker->dying;
}

/* May the running task be left here? Else counts why not, and marks what is to be made up for. */
static bool may_be_left(struct shunt_worker *worker, bool preemptible)
{
	int64_t now_ns = (int64_t)shunt_clock_ns(&worker->engine->clock);
	if (shunt_ctx_get() != &worker->ctx || !in_task(worker) || !shunt_ticks_due(worker, now_ns))
		worker->preempt.vain++;
	else if (shunt_preempt_sections(&worker->ctx))
		mark(worker, &worker->preempt.in_section);
	else if (worker->ctx.current->step || !preemptible)
		mark(worker, &worker->preempt.elsewhere);
	else
		return true;
	return false;
}

/* After the guess: visits the slow path where that may make a task ready. */
bool shunt_preempt_judge(struct shunt_worker *worker, bool preemptible)
{
	if (!may_be_left(worker, preemptible))
		return false;
	bool over = shunt_slice_is_over(worker);
	worker->preempt.vain += !over;
	return over;
}

void shunt_preempt_disappoint(struct shunt_worker *worker)
{
	for (; worker; worker = worker->outer)
		if (shunt_ticks_sent(worker)) {
			worker->preempt.vain++;
			shunt_ticks_counted(worker);
		}
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	struct shunt_worker *worker = watched;
	(void)signal, (void)info;
	if (!worker)
		return;
	int before = *worker->errno_at;
	bool may_switch = shunt_preempt_judge(worker, is_preemptible(context));
	shunt_preempt_disappoint(worker->outer);
	if (may_switch) {
		take_fp_words(context);
		give_way(worker);
	} else {
		/* Last, so that no other handler interrupts this one while it counts. */
		shunt_ticks_counted(worker);
	}
	*worker->errno_at = before;
}

/* ---- its life -------------------------------------------------------------------------------- */

void shunt_preempt_wrap(struct shunt_engine *engine)
{
	if (engine->worker_count == 1 || (!engine->policy->steals && !engine->policy->shared))
		return;
	engine->inner = engine->policy;
	engine->wrapped = *engine->policy;
	engine->wrapped.pick = pick_or_held;
	engine->policy = &engine->wrapped;
}

bool shunt_preempt_signal_is_taken(void)
{
	struct sigaction action;
	return sigaction(SHUNT_TICK_SIGNAL, NULL, &action) == 0 && action.sa_handler != SIG_DFL &&
	       action.sa_sigaction != on_signal;
}

/* The handler stays for the life of the process: a run inside a task may still need it, and alone
 * it does nothing. */
int shunt_preempt_start(struct shunt_engine *engine)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
	int rc = 0;
	if (!shunt_engine_ticks(engine))
		return 0;
	sigemptyset(&action.sa_mask);
	if (engine->preempt == SHUNT_PREEMPT_SIGNAL)
		rc = sigaction(SHUNT_TICK_SIGNAL, &action, NULL) ? -errno : 0;
	return rc ? rc : shunt_ticks_start(engine);
}

void shunt_preempt_watch(struct shunt_worker *worker)
{
	if (!shunt_engine_ticks(worker->engine))
		return;
	worker->outer = watched;
	watched = worker;
	shunt_ticks_join(worker);
}

void shunt_preempt_unwatch(struct shunt_worker *worker)
{
	if (!shunt_engine_ticks(worker->engine))
		return;
	shunt_ticks_leave(worker);
	if (worker->tick.flag)
		shunt_preempt_disappoint(worker);
	watched = worker->outer;
}
