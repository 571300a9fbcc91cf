/* SPDX-License-Identifier: MIT */
/*
 * tbb: every task is a task of oneTBB, in an arena of the scheduler's own.
 *
 * A task that waits is suspended by tbb::task::suspend, whose callback runs once the task has left
 * its stack, and is resumed by tbb::task::resume, perhaps on another thread. oneTBB has no yield: a
 * task that gives way is suspended and resumed at once. It has no timers, so tasks do not sleep
 * (no SHUNT_TIMED).
 *
 * `workers=0` is the default of oneTBB, an arena as wide as the machine allows. `pin=1` binds each
 * slot of the arena to a CPU of its own, by the observer that its documentation gives for that.
 *
 * spawn_join costs more than the loop without shunt: that waits once for a group of tasks, on its
 * own stack, and the task API joins each.
 *
 * What it does not do: spawn from outside an arena of one, whose only thread is in the run. The
 * sanitizers do not know its switches, so it is not built with them.
 */
#include "backends/runtimes/adapter.h"

#include <tbb/info.h>
#include <tbb/task.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#include <tbb/task_scheduler_observer.h>
#include <tbb/version.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <sched.h>
#include <vector>

namespace
{

using clock_type = std::chrono::steady_clock;

/* Binds a thread to the CPU of its slot while it is in the arena. */
class Pinning : public tbb::task_scheduler_observer
{
      public:
	explicit Pinning(tbb::task_arena &arena) : tbb::task_scheduler_observer(arena)
	{
		sched_getaffinity(0, sizeof(allowed), &allowed);
		observe(true);
	}
	~Pinning() override
	{
		observe(false);
	}
	void on_scheduler_entry(bool) override
	{
		int nth = tbb::this_task_arena::current_thread_index() % CPU_COUNT(&allowed);
		int cpu = 0;
		while (!CPU_ISSET(cpu, &allowed) || nth-- > 0)
			cpu++;
		cpu_set_t one;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
	}
	void on_scheduler_exit(bool) override
	{
		sched_setaffinity(0, sizeof(allowed), &allowed);
	}

      private:
	cpu_set_t allowed;
};

/* One a slot of the arena, written by the thread that is in it. */
struct alignas(64) Slot {
	std::uint64_t executed = 0;
};

struct Scheduler {
	struct shunt_adapter *adapter;
	tbb::task_arena arena;
	std::optional<Pinning> pinning;
	std::optional<tbb::task_group> group; /* of the run in progress */
	std::vector<Slot> slots;
	std::mutex lock; /* guards is_over */
	std::condition_variable changed;
	bool is_over = false;
};

/* The scheduler whose task the thread runs is known by the task; its worker by the slot. */
void enter(Scheduler &scheduler)
{
	int slot = tbb::this_task_arena::current_thread_index();
	shunt_adapter_enter(scheduler.adapter, static_cast<unsigned>(slot));
}

struct Body {
	Scheduler *scheduler;
	struct shunt_adapted *task;

	void operator()() const
	{
		int slot = tbb::this_task_arena::current_thread_index();
		scheduler->slots[static_cast<std::size_t>(slot)].executed++;
		enter(*scheduler);
		shunt_adapter_main(task);
	}
};

int spawn(void *state, struct shunt_adapted *task)
{
	Scheduler &scheduler = *static_cast<Scheduler *>(state);
	try {
		scheduler.group->run(Body{&scheduler, task});
		return 0;
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	}
}

int spawn_outside(void *state, struct shunt_adapted *task)
{
	Scheduler &scheduler = *static_cast<Scheduler *>(state);
	if (scheduler.slots.size() < 2)
		return -ENOTSUP;
	try {
		scheduler.arena.enqueue(scheduler.group->defer(Body{&scheduler, task}));
		return 0;
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	}
}

/* ---- waiting --------------------------------------------------------------------------------- */

void wait(void *state, struct shunt_adapted *task, std::int64_t)
{
	tbb::task::suspend([task](tbb::task::suspend_point point) {
		task->wait = point;
		if (shunt_adapter_commit(task))
			tbb::task::resume(point);
	});
	enter(*static_cast<Scheduler *>(state));
}

void post(struct shunt_adapted *task)
{
	tbb::task::resume(static_cast<tbb::task::suspend_point>(task->wait));
}

void yield(void *state)
{
	tbb::task::suspend([](tbb::task::suspend_point point) { tbb::task::resume(point); });
	enter(*static_cast<Scheduler *>(state));
}

/* ---- a run ----------------------------------------------------------------------------------- */

void over(void *state)
{
	Scheduler &scheduler = *static_cast<Scheduler *>(state);
	std::unique_lock<std::mutex> held(scheduler.lock);
	scheduler.is_over = true;
	scheduler.changed.notify_all();
}

/* The calling thread takes part while there are tasks, and then waits for those from outside. */
int run(void *state, struct shunt_adapted *root, struct shunt_error *err)
{
	Scheduler &scheduler = *static_cast<Scheduler *>(state);
	try {
		scheduler.is_over = false;
		scheduler.group.emplace();
		scheduler.arena.execute([&scheduler, root] {
			scheduler.group->run(Body{&scheduler, root});
			scheduler.group->wait();
		});
		std::unique_lock<std::mutex> held(scheduler.lock);
		scheduler.changed.wait(held, [&scheduler] { return scheduler.is_over; });
		held.unlock();
		scheduler.arena.execute([&scheduler] { scheduler.group->wait(); });
		scheduler.group.reset();
		return 0;
	} catch (const std::exception &failed) {
		return shunt_fail(err, -EAGAIN, "oneTBB cannot run: %s", failed.what());
	}
}

/* ---- the same loops without shunt ------------------------------------------------------------ */

constexpr unsigned ALIVE = 1000;

std::uint64_t native_yield(tbb::task_group &group, std::uint64_t operations)
{
	std::uint64_t each = (operations + 1) / 2, made[2] = {0, 0};
	for (auto &count : made)
		group.run([each, &count] {
			for (; count < each; count++)
				tbb::task::suspend([](tbb::task::suspend_point point) {
					tbb::task::resume(point);
				});
		});
	group.wait();
	return made[0] + made[1];
}

std::uint64_t native_spawn_join(tbb::task_group &group, std::uint64_t operations)
{
	std::vector<std::uint64_t> ran(ALIVE);
	std::uint64_t made = 0;
	while (made < operations) {
		for (auto &count : ran)
			group.run([&count] { count = 1; });
		group.wait();
		for (auto count : ran)
			made += count;
	}
	return made;
}

double run_native(void *state, const char *primitive, std::uint64_t operations, std::uint64_t *made)
{
	Scheduler &scheduler = *static_cast<Scheduler *>(state);
	std::uint64_t (*loop)(tbb::task_group &, std::uint64_t) = nullptr;
	double ns = 0;
	if (!std::strcmp(primitive, "yield"))
		loop = native_yield;
	else if (!std::strcmp(primitive, "spawn_join_1000"))
		loop = native_spawn_join;
	else
		return 0;
	scheduler.arena.execute([loop, operations, made, &ns] {
		tbb::task_group group;
		auto start = clock_type::now();
		*made = loop(group, operations);
		ns = std::chrono::duration<double, std::nano>(clock_type::now() - start).count();
	});
	return ns;
}

/* ---- settings -------------------------------------------------------------------------------- */

const char *const switches[] = {"0", "1", nullptr};

const struct shunt_param params[] = {
	{"workers", SHUNT_PARAM_COUNT, "0", 0, 1024, nullptr,
		"slots of the arena; 0, the default of oneTBB: as many as the machine allows"},
	{"pin", SHUNT_PARAM_CHOICE, "0", 0, 0, switches, "1: each slot is bound to a CPU"},
	{},
};

int open(void **state, struct shunt_adapter *adapter, const struct shunt_values *values,
	unsigned *worker_count, unsigned *caps, struct shunt_error *err)
{
	int asked = static_cast<int>(shunt_value_int(values, "workers"));
	try {
		auto scheduler = std::make_unique<Scheduler>();
		scheduler->adapter = adapter;
		scheduler->arena.initialize(asked ? asked : tbb::task_arena::automatic);
		int count = scheduler->arena.max_concurrency();
		scheduler->slots.resize(static_cast<std::size_t>(count));
		if (shunt_value_int(values, "pin"))
			scheduler->pinning.emplace(scheduler->arena);
		*worker_count = static_cast<unsigned>(count);
		if (count > 1)
			*caps |= SHUNT_PARALLEL | SHUNT_MIGRATES | SHUNT_EXTERNAL_WAKE;
		*state = scheduler.release();
		return 0;
	} catch (const std::exception &failed) {
		return shunt_fail(err, -ENOMEM, "oneTBB gives no arena: %s", failed.what());
	}
}

void close(void *state)
{
	delete static_cast<Scheduler *>(state);
}

std::uint64_t created(const void *state)
{
	std::uint64_t sum = 0;
	for (const auto &slot : static_cast<const Scheduler *>(state)->slots)
		sum += slot.executed;
	return sum;
}

const char *version()
{
	return TBB_runtime_version();
}

} // namespace

extern "C" const struct shunt_runtime shunt_runtime = {
	"tbb",
	"tasks of oneTBB, suspended where they wait; they do not sleep",
	params,
	SHUNT_CAN_BLOCK,
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
