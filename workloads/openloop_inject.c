/* SPDX-License-Identifier: MIT */
/*
 * The injector of an open loop: it makes each request a task when its time has come.
 *
 * Whoever holds `injecting` spawns all that are due: the generator, a task that sleeps from arrival to
 * arrival or a thread beside the scheduler, and with injection=timer each request besides when it gives
 * way. `pending` counts who is inside, and the injector: the last to leave wakes the root.
 *
 * It tells apart how late an injection was, and what of that was the generator's own fault (lag): the
 * part that no request's run explains, because a worker was free or a request had given way. Outside,
 * what the scheduler takes to spawn a request from another thread, and to wake a worker for it, delays
 * the next one too: that is the scheduler's, and no lag. Either way all of it is in the response.
 */
#include "workloads/openloop.h"

#include "core/rng.h"

/* Without waiting: whoever finds it taken knows that the due are being spawned. */
static bool take_injector(struct openloop *loop)
{
	/* Acquire pairs with give_injector [openloop:injecting]. */
	return !__atomic_exchange_n(&loop->injecting, 1, __ATOMIC_ACQUIRE);
}

static void give_injector(struct openloop *loop)
{
	/* Release pairs with take_injector [openloop:injecting]. */
	__atomic_store_n(&loop->injecting, 0, __ATOMIC_RELEASE);
}

static int64_t due(const struct openloop *loop)
{
	/* Acquire pairs with the release in inject [openloop:due]: all spawned when it is FOREVER. */
	return __atomic_load_n(&loop->due_ns, __ATOMIC_ACQUIRE);
}

/* The worker of a request, 1 and up, as a network card's hash spreads clients; 0: any. */
static unsigned worker_of(const struct openloop *loop, size_t index)
{
	uint64_t state = loop->seed + index;

	if (!loop->steered)
		return 0;
	return 1 +
	       (unsigned)(((unsigned __int128)shunt_splitmix64(&state) * loop->worker_count) >> 64);
}

/* What a policy may know of a request: its deadline, its service time and its class. */
static struct shunt_attr attr_of(const struct openloop *loop, size_t index)
{
	return (struct shunt_attr){.name = "request",
		.deadline_ns = openloop_intended(loop, index) + loop->deadline_ns,
		.service_ns = (int64_t)loop->table.arrival[index].service_ns,
		.priority = (unsigned)loop->table.arrival[index].class,
		.worker = worker_of(loop, index)};
}

void openloop_leave(struct openloop *loop)
{
	struct shunt_handle root = loop->root;

	/* Acquire-release pairs with itself and with the load in await (openloop.c)
	 * [openloop:pending]: the root sees what all wrote. */
	if (__atomic_sub_fetch(&loop->pending, 1, __ATOMIC_ACQ_REL) == 0)
		shunt_wake(root);
}

static int spawn(struct openloop *loop, size_t index)
{
	struct shunt_attr attr = attr_of(loop, index);
	struct request *request = &loop->request[index];

	return loop->injection == INJECT_OUTSIDE
		       ? shunt_outside_spawn(loop->run, NULL, openloop_request, request, &attr)
		       : shunt_spawn(NULL, openloop_request, request, &attr);
}

/* The part of the delay that neither a request's run nor, outside, the scheduler's own spawning of the
 * one before explains. With fewer requests in the system than workers, one of these was free. */
static int64_t lag(const struct openloop *loop, int64_t intended_ns, int64_t now_ns,
	uint64_t inside)
{
	/* Relaxed: a time; the lock orders what matters [openloop:chance]. */
	int64_t since = __atomic_load_n(&loop->chance_ns, __ATOMIC_RELAXED);

	if ((loop->injection == INJECT_TIMER && inside < loop->worker_count) || since < intended_ns)
		since = intended_ns;
	/* Another worker's chance may be later than this reading of the clock. */
	return since < now_ns ? now_ns - since : 0;
}

/* The request at `next` arrives: it becomes a task, or is dropped. Context: the injector. */
static void arrive(struct openloop *loop, int64_t now_ns)
{
	size_t index = loop->next;
	struct request *request = &loop->request[index];
	/* Relaxed: others only take away, so there is no more than this [openloop:pending]. */
	uint64_t inside = (uint64_t)__atomic_load_n(&loop->pending, __ATOMIC_RELAXED) - 1;

	if (inside >= loop->backlog_limit) {
		request->dropped = true;
		return;
	}
	if (inside + 1 > loop->backlog_max)
		loop->backlog_max = inside + 1;
	request->injected_ns = now_ns;
	request->lag_ns = lag(loop, openloop_intended(loop, index), now_ns, inside);
	/* Relaxed: the spawn publishes the request; its own share keeps the count above zero
	 * [openloop:pending]. */
	__atomic_add_fetch(&loop->pending, 1, __ATOMIC_RELAXED);
	loop->rc = spawn(loop, index);
	if (loop->rc)
		openloop_leave(loop);
}

/* Spawns all that are due. Context: the injector, which is given back. */
static void inject(struct openloop *loop, int64_t now_ns)
{
	while (loop->next < loop->table.count && !loop->rc &&
		openloop_intended(loop, loop->next) <= now_ns) {
		arrive(loop, now_ns);
		loop->next++;
		if (loop->injection == INJECT_OUTSIDE)
			loop->chance_ns = now_ns = shunt_now_ns();
	}
	bool done = loop->next == loop->table.count || loop->rc;
	int64_t next_due = done ? SHUNT_FOREVER : openloop_intended(loop, loop->next);

	/* Release pairs with due() [openloop:due]. */
	__atomic_store_n(&loop->due_ns, next_due, __ATOMIC_RELEASE);
	give_injector(loop);
}

void openloop_chance(struct openloop *loop, int64_t now_ns)
{
	if (loop->injection != INJECT_TIMER)
		return;
	/* Relaxed: see lag() [openloop:chance]. */
	__atomic_store_n(&loop->chance_ns, now_ns, __ATOMIC_RELAXED);
	if (due(loop) <= now_ns && take_injector(loop))
		inject(loop, now_ns);
}

static void *generate(void *arg)
{
	struct openloop *loop = arg;
	int64_t due_ns;

	int rc = 0;

	while ((due_ns = due(loop)) != SHUNT_FOREVER) {
		int64_t now_ns = shunt_now_ns();

		if (now_ns < due_ns && !rc) {
			rc = shunt_sleep_until(due_ns);
		} else if (take_injector(loop)) {
			loop->rc = rc ? rc : loop->rc;
			inject(loop, now_ns);
		} else {
			shunt_yield();
		}
	}
	openloop_leave(loop);
	return NULL;
}

static void generate_outside(struct shunt_run *run, void *arg)
{
	struct openloop *loop = arg;
	int64_t due_ns;

	(void)run;
	while ((due_ns = due(loop)) != SHUNT_FOREVER) {
		shunt_outside_wait_until(due_ns);
		take_injector(loop);
		inject(loop, shunt_now_ns());
	}
	openloop_leave(loop);
}

int openloop_start(struct openloop *loop)
{
	/* First in every order, or a policy would make the requests wait twice. */
	struct shunt_attr attr = {.name = "generator", .deadline_ns = 1, .service_ns = 1};

	if (loop->injection == INJECT_OUTSIDE)
		return shunt_outside_start(loop->run, generate_outside, loop);
	return shunt_spawn(NULL, generate, loop, &attr);
}
