// SPDX-License-Identifier: MIT
// If this passes, C++20 coroutines run as step tasks, always by way of the carrier: the promise is
// the frame, a step resumes the coroutine, and where that suspends the step returns what for. No
// coroutine resumes another (symmetric transfer needs the compiler's tail calls, or the stack
// grows).
#include "core/engine/test/coroutine.h"

#include <coroutine>
#include <exception>

struct coroutine {
	struct promise_type : shunt_step {
		int next = SHUNT_STEP_DONE; // what the step that runs now returns

		coroutine get_return_object() { return {handle_type::from_promise(*this)}; }
		std::suspend_always initial_suspend() noexcept { return {}; }
		std::suspend_always final_suspend() noexcept
		{
			next = SHUNT_STEP_DONE;
			return {};
		}
		void return_void() {}
		void unhandled_exception() { std::terminate(); }
	};
	using handle_type = std::coroutine_handle<promise_type>;
	handle_type handle;

	static int resume(shunt_step *frame)
	{
		auto &promise = *static_cast<promise_type *>(frame);
		handle_type::from_promise(promise).resume();
		return promise.next;
	}
	int spawn(shunt_handle *task)
	{
		return shunt_spawn_step(task, resume, &handle.promise(), nullptr);
	}
};

struct give_way {
	bool await_ready() { return false; }
	void await_suspend(coroutine::handle_type h) { h.promise().next = SHUNT_STEP_YIELD; }
	void await_resume() {}
};

// Awaits a `_poll` form, which is called again when its wait is over.
template <typename Poll> struct await {
	Poll poll;
	int rc = 0;

	explicit await(Poll call) : poll(call) {}
	bool await_ready() { return (rc = poll()) != SHUNT_STEP_WAIT; }
	void await_suspend(coroutine::handle_type h) { h.promise().next = SHUNT_STEP_WAIT; }
	int await_resume() { return rc == SHUNT_STEP_WAIT ? poll() : rc; }
};

enum { TASKS = 8, ROUNDS = 100 };
static shunt_semaphore two;
static shunt_mutex mutex;
static long total;

static coroutine count(int rounds)
{
	for (int i = 0; i < rounds; i++) {
		int rc = co_await await(
			[] { return shunt_semaphore_wait_poll(&two, SHUNT_FOREVER); });
		rc |= co_await await([] { return shunt_mutex_lock_poll(&mutex, SHUNT_FOREVER); });
		long before = total; // lives over a suspension
		co_await give_way();
		total = before + 1 + rc;
		shunt_mutex_unlock(&mutex);
		shunt_semaphore_post(&two);
		int64_t due = shunt_now_ns() + 1000;
		co_await await([due] { return shunt_sleep_poll(due); });
	}
}

static void *root(void *)
{
	shunt_handle handle[TASKS];
	coroutine task[TASKS];
	shunt_semaphore_init(&two, 2);
	mutex = {};
	total = 0;
	for (int i = 0; i < TASKS; i++) {
		task[i] = count(ROUNDS);
		if (task[i].spawn(&handle[i]))
			return nullptr;
	}
	for (int i = 0; i < TASKS; i++)
		shunt_join(handle[i], nullptr);
	for (int i = 0; i < TASKS; i++) {
		total += !task[i].handle.done();
		task[i].handle.destroy();
	}
	return &total;
}

int main()
{
	return coroutine_test(root, TASKS * ROUNDS);
}
