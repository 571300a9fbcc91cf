/* SPDX-License-Identifier: MIT */
/*
 * boost-fiber: every task is a fiber of Boost.Fiber, which schedules it.
 *
 * As a program would use it: fibers are launched with launch::post on the stack allocator of the
 * setting `stack`, and a task that waits is suspended as Boost's own mutex suspends its waiters:
 * under a spinlock that the next fiber gives back. With a deadline it waits on Boost's condition
 * variable, which settles the race of a timeout and a wake.
 *
 * One thread, by round_robin, Boost's default: first in, first out. A run has a thread of its own.
 * work_stealing is not offered: in some runs of the conformance test with Boost 1.74 all its
 * threads looked for work, and a fiber that was to go on was in no queue. The cause was not found.
 * Nor is shared_work, whose queue is a static variable of the process: of four runs of that test
 * one hung and three ended early, one of them by a fiber on a thread that was in no run.
 *
 * What it does not do: detect a deadlock, or an overflown stack (`stack=protected` ends the
 * process). The sanitizers do not know Boost's switches, so it is not built with them.
 */
#include "backends/runtimes/adapter.h"

#include <boost/fiber/all.hpp>
#include <boost/version.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <vector>

namespace fibers = boost::fibers;
using clock_type = std::chrono::steady_clock; /* CLOCK_MONOTONIC in libstdc++ */

namespace
{

enum Stack { FIXED, POOLED, PROTECTED };

/* What is to run in the first fiber. */
using Root = void(void *);

struct Scheduler {
	struct shunt_adapter *adapter;
	Stack stack;
	std::size_t stack_bytes;
	std::optional<fibers::pooled_fixedsize_stack> pool;
	std::atomic<std::uint64_t> created{0}; /* stacks that Boost's allocators were asked for */

	Root *root = nullptr;
	void *root_arg = nullptr;
	fibers::mutex lock; /* guards the rest */
	fibers::condition_variable changed;
	bool is_over = false;
	struct shunt_adapted *inbox = nullptr;
};

/* Counts what an allocator of Boost's is asked for. */
template <typename Allocator> struct Counted {
	Allocator allocator;
	Scheduler *scheduler;

	boost::context::stack_context allocate()
	{
		scheduler->created.fetch_add(1, std::memory_order_relaxed); /* a statistic */
		return allocator.allocate();
	}
	void deallocate(boost::context::stack_context &stack) noexcept
	{
		allocator.deallocate(stack);
	}
};

template <typename Allocator, typename Function>
fibers::fiber launch_on(Scheduler &scheduler, const Allocator &allocator, Function &&function)
{
	return fibers::fiber(fibers::launch::post, std::allocator_arg,
		Counted<Allocator>{allocator, &scheduler}, std::forward<Function>(function));
}

template <typename Function> fibers::fiber launch(Scheduler &scheduler, Function &&function)
{
	std::size_t bytes = scheduler.stack_bytes;
	if (scheduler.stack == POOLED)
		return launch_on(scheduler, *scheduler.pool, std::forward<Function>(function));
	if (scheduler.stack == PROTECTED)
		return launch_on(scheduler, fibers::protected_fixedsize_stack(bytes),
			std::forward<Function>(function));
	return launch_on(scheduler, fibers::fixedsize_stack(bytes),
		std::forward<Function>(function));
}

int spawn(void *state, struct shunt_adapted *task)
{
	try {
		launch(*static_cast<Scheduler *>(state), [task] {
			shunt_adapter_main(task);
		}).detach();
		return 0;
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	} catch (...) {
		return -EAGAIN;
	}
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* On the waiting fiber's own stack. */
struct Wait {
	bool timed;
	fibers::context *fiber;
	fibers::detail::spinlock off_its_stack; /* held until the fiber is suspended */
};

struct TimedWait : Wait {
	fibers::mutex lock;
	fibers::condition_variable changed;
	bool posted = false;
};

void wait_for_ever(struct shunt_adapted *task)
{
	Wait wait{false, fibers::context::active(), {}};
	task->wait = &wait;
	fibers::detail::spinlock_lock held(wait.off_its_stack);
	if (!shunt_adapter_commit(task))
		wait.fiber->suspend(held);
}

void wait_until(struct shunt_adapted *task, std::int64_t deadline_ns)
{
	TimedWait wait;
	wait.timed = true;
	task->wait = static_cast<Wait *>(&wait);
	clock_type::time_point deadline{std::chrono::nanoseconds(deadline_ns)};
	std::unique_lock<fibers::mutex> held(wait.lock);
	if (shunt_adapter_commit(task))
		return;
	while (!wait.posted) {
		if (wait.changed.wait_until(held, deadline) == fibers::cv_status::no_timeout)
			continue;
		if (clock_type::now() < deadline)
			continue;
		if (!wait.posted && shunt_adapter_expire(task))
			return;
		while (!wait.posted)
			wait.changed.wait(held);
	}
}

void wait(void *, struct shunt_adapted *task, std::int64_t deadline_ns)
{
	if (deadline_ns == SHUNT_FOREVER)
		wait_for_ever(task);
	else
		wait_until(task, deadline_ns);
}

void post(struct shunt_adapted *task)
{
	Wait *wait = static_cast<Wait *>(task->wait);
	if (wait->timed) {
		TimedWait *timed = static_cast<TimedWait *>(wait);
		std::unique_lock<fibers::mutex> held(timed->lock);
		timed->posted = true;
		timed->changed.notify_one();
		return;
	}
	fibers::context *fiber = wait->fiber;
	{
		fibers::detail::spinlock_lock held(wait->off_its_stack);
	}
	fibers::context::active()->schedule(fiber);
}

void yield(void *)
{
	boost::this_fiber::yield();
}

/* ---- threads --------------------------------------------------------------------------------- */

void over(void *state)
{
	Scheduler &scheduler = *static_cast<Scheduler *>(state);
	std::unique_lock<fibers::mutex> held(scheduler.lock);
	scheduler.is_over = true;
	scheduler.changed.notify_all();
}

int spawn_outside(void *state, struct shunt_adapted *task)
{
	Scheduler &scheduler = *static_cast<Scheduler *>(state);
	std::unique_lock<fibers::mutex> held(scheduler.lock);
	task->next = scheduler.inbox;
	scheduler.inbox = task;
	scheduler.changed.notify_all();
	return 0;
}

/* Launches what came from outside, in the order in which it came. */
void empty_inbox(Scheduler &scheduler, std::unique_lock<fibers::mutex> &held)
{
	struct shunt_adapted *in_order = nullptr;
	while (struct shunt_adapted *task = scheduler.inbox) {
		scheduler.inbox = task->next;
		task->next = in_order;
		in_order = task;
	}
	held.unlock();
	while (struct shunt_adapted *task = in_order) {
		in_order = task->next;
		if (spawn(&scheduler, task))
			std::terminate(); /* it was accepted already */
	}
	held.lock();
}

/* The worker's thread, from the beginning of a run to its end. */
void take_part(Scheduler &scheduler)
{
	void *before = shunt_adapter_enter(scheduler.adapter, 0);
	launch(scheduler, [&scheduler] { scheduler.root(scheduler.root_arg); }).detach();
	std::unique_lock<fibers::mutex> held(scheduler.lock);
	while (!scheduler.is_over) {
		if (scheduler.inbox)
			empty_inbox(scheduler, held);
		else
			scheduler.changed.wait(held);
	}
	held.unlock();
	shunt_adapter_leave(before);
}

int run_root(Scheduler &scheduler, Root *root, void *arg)
{
	scheduler.root = root;
	scheduler.root_arg = arg;
	scheduler.is_over = false;
	std::thread(take_part, std::ref(scheduler)).join();
	return 0;
}

int run(void *state, struct shunt_adapted *root, struct shunt_error *err)
{
	try {
		return run_root(
			*static_cast<Scheduler *>(state),
			[](void *task) {
				shunt_adapter_main(static_cast<struct shunt_adapted *>(task));
			},
			root);
	} catch (const std::exception &failed) {
		return shunt_fail(err, -EAGAIN, "Boost.Fiber cannot run: %s", failed.what());
	}
}

/* ---- the same loops without shunt ------------------------------------------------------------ */

struct Native {
	Scheduler &scheduler;
	void (*loop)(Native &);
	std::uint64_t operations, made;
	double ns;
};

constexpr unsigned ALIVE = 1000;

void native_yield(Native &native)
{
	std::uint64_t each = (native.operations + 1) / 2, made[2] = {0, 0};
	fibers::fiber fiber[2];
	for (int i = 0; i < 2; i++)
		fiber[i] = launch(native.scheduler, [each, &count = made[i]] {
			for (std::uint64_t left = each; left; left--)
				boost::this_fiber::yield();
			count = each;
		});
	for (auto &one : fiber)
		one.join();
	native.made = made[0] + made[1];
}

void native_spawn_join(Native &native)
{
	std::vector<fibers::fiber> fiber(ALIVE);
	std::vector<std::uint64_t> ran(ALIVE);
	while (native.made < native.operations) {
		for (unsigned i = 0; i < ALIVE; i++)
			fiber[i] = launch(native.scheduler, [&count = ran[i]] { count = 1; });
		for (unsigned i = 0; i < ALIVE; i++) {
			fiber[i].join();
			native.made += ran[i];
		}
	}
}

/* Boost has no semaphore; this is its documentation's way to make one. */
struct Semaphore {
	fibers::mutex lock;
	fibers::condition_variable changed;
	unsigned count = 0;

	void wait()
	{
		std::unique_lock<fibers::mutex> held(lock);
		while (count == 0)
			changed.wait(held);
		count--;
	}
	void post()
	{
		std::unique_lock<fibers::mutex> held(lock);
		count++;
		changed.notify_one();
	}
};

void native_ring(Native &native)
{
	std::vector<Semaphore> ring(ALIVE);
	std::vector<fibers::fiber> fiber(ALIVE);
	std::vector<std::uint64_t> hops(ALIVE);
	std::uint64_t rounds = (native.operations + ALIVE - 1) / ALIVE;
	for (unsigned i = 0; i < ALIVE; i++)
		fiber[i] = launch(native.scheduler, [rounds, i, &ring, &count = hops[i]] {
			for (; count < rounds; count++) {
				ring[i].wait();
				ring[(i + 1) % ALIVE].post();
			}
		});
	boost::this_fiber::yield();
	auto start = clock_type::now();
	ring[0].post();
	for (unsigned i = 0; i < ALIVE; i++) {
		fiber[i].join();
		native.made += hops[i];
	}
	native.ns = std::chrono::duration<double, std::nano>(clock_type::now() - start).count();
}

void native_root(void *arg)
{
	Native &native = *static_cast<Native *>(arg);
	auto start = clock_type::now();
	native.loop(native);
	if (native.ns == 0)
		native.ns =
			std::chrono::duration<double, std::nano>(clock_type::now() - start).count();
	over(&native.scheduler);
}

double run_native(void *state, const char *primitive, std::uint64_t operations, std::uint64_t *made)
{
	Native native{*static_cast<Scheduler *>(state), nullptr, operations, 0, 0};
	if (!std::strcmp(primitive, "yield"))
		native.loop = native_yield;
	else if (!std::strcmp(primitive, "spawn_join_1000"))
		native.loop = native_spawn_join;
	else if (!std::strcmp(primitive, "ring_1000"))
		native.loop = native_ring;
	else
		return 0;
	try {
		run_root(native.scheduler, native_root, &native);
	} catch (const std::exception &) {
		return 0;
	}
	*made = native.made;
	return native.ns;
}

/* ---- settings -------------------------------------------------------------------------------- */

const char *const stacks[] = {"fixedsize", "pooled", "protected", nullptr};

const struct shunt_param params[] = {
	{"stack", SHUNT_PARAM_CHOICE, "fixedsize", 0, 0, stacks,
		"Boost's stack allocator: fixedsize, its default, asks malloc for each; pooled "
		"keeps them, for one thread; protected has a guard page"},
	{"stack.size", SHUNT_PARAM_SIZE, "128k", 16384, INT64_C(1) << 30, nullptr,
		"bytes of a fiber's stack; 128k is Boost's default"},
	{},
};

int open(void **state, struct shunt_adapter *adapter, const struct shunt_values *values,
	unsigned *worker_count, unsigned *, struct shunt_error *)
{
	auto scheduler = std::make_unique<Scheduler>();
	scheduler->adapter = adapter;
	scheduler->stack = static_cast<Stack>(shunt_value_int(values, "stack"));
	scheduler->stack_bytes = static_cast<std::size_t>(shunt_value_int(values, "stack.size"));
	*worker_count = 1;
	if (scheduler->stack == POOLED)
		scheduler->pool.emplace(scheduler->stack_bytes);
	*state = scheduler.release();
	return 0;
}

void close(void *state)
{
	delete static_cast<Scheduler *>(state);
}

std::uint64_t created(const void *state)
{
	return static_cast<const Scheduler *>(state)->created.load(std::memory_order_relaxed);
}

const char *version()
{
	return "Boost.Fiber " BOOST_LIB_VERSION;
}

} // namespace

extern "C" const struct shunt_runtime shunt_runtime = {
	"boost-fiber",
	"tasks are fibers of Boost.Fiber",
	params,
	SHUNT_CAN_BLOCK | SHUNT_TIMED | SHUNT_EXTERNAL_WAKE,
	version,
	open,
	close,
	run,
	over,
	spawn,
	spawn_outside,
	yield,
	wait,
	post,
	created,
	run_native,
};
