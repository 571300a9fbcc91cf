/* SPDX-License-Identifier: MIT */
/*
 * The injectors of an open loop: they make each request a task when its time has come.
 *
 * Whoever holds `injecting` of a stream spawns all of it that are due: the generator, a task that
 * sleeps from arrival to arrival or a thread beside the scheduler, and with injection=timer each of
 * the stream's requests besides when it gives way. `pending` counts the requests inside, and one
 * for the injectors: the last to leave wakes the root.
 *
 * Requests that are put on workers have a generator on each worker, as a network card has a queue
 * for each. One for all would wait behind the requests of its own worker while another one idles:
 * at a load of 1.2 of 2 that was 13 % of the mean response.
 *
 * Of how late an injection was, `lag` is the generator's part: what no request's run explains,
 * because a worker was free or a request had given way. Outside, what the scheduler takes to spawn
 * a request from another thread, and to wake a worker for it, delays the next one too: that is the
 * scheduler's, and not lag. Either way all of it is in the response.
 */
#include "workloads/openloop.h"

#include "core/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Without waiting: whoever finds it taken knows that the due are being spawned. */
static bool take_injector(struct openloop_stream *stream)
{
	/* Acquire pairs with give_injector [openloop:injecting]. */
	return !__atomic_exchange_n(&stream->injecting, 1, __ATOMIC_ACQUIRE);
}

static void give_injector(struct openloop_stream *stream)
{
	/* Release pairs with take_injector [openloop:injecting]. */
	__atomic_store_n(&stream->injecting, 0, __ATOMIC_RELEASE);
}

static int64_t due(const struct openloop_stream *stream)
{
	/* Acquire pairs with the release in inject [openloop:due]: all spawned when it is
	 * FOREVER. */
	return __atomic_load_n(&stream->due_ns, __ATOMIC_ACQUIRE);
}

/* The first spawn that failed ends all injectors. */
static void fail(struct openloop_stream *stream, int rc)
{
	int none = 0;

	/* Relaxed: read again when all have left [openloop:rc]. */
	if (rc && __atomic_compare_exchange_n(&stream->loop->rc, &none, rc, false, __ATOMIC_RELAXED,
			  __ATOMIC_RELAXED))
		stream->loop->failed_at = stream->next;
}

static bool has_failed(const struct openloop *loop)
{
	/* Relaxed: as in fail() [openloop:rc]. */
	return __atomic_load_n(&loop->rc, __ATOMIC_RELAXED) != 0;
}

/* ---- streams --------------------------------------------------------------------------------- */

/* The worker of a request, 1 and up, as a network card's hash spreads clients; 0: any. */
static unsigned worker_of(const struct openloop *loop, size_t index)
{
	uint64_t state = loop->seed + index;

	if (!loop->steered)
		return 0;
	return 1 +
	       (unsigned)(((unsigned __int128)shunt_splitmix64(&state) * loop->worker_count) >> 64);
}

static int make_room(struct openloop *loop)
{
	if (loop->streams_made >= loop->stream_count)
		return 0;
	free(loop->stream);
	loop->streams_made = 0;
	loop->stream = aligned_alloc(64, loop->stream_count * sizeof(*loop->stream));
	if (!loop->stream)
		return -ENOMEM;
	loop->streams_made = loop->stream_count;
	return 0;
}

static struct openloop_stream *stream_of(const struct request *request)
{
	const struct openloop *loop = request->loop;

	return &loop->stream[loop->stream_count > 1 ? request->worker - 1 : 0];
}

int openloop_streams(struct openloop *loop)
{
	bool apart = loop->steered && loop->injection == INJECT_TIMER;

	loop->stream_count = apart ? loop->worker_count : 1;
	if (make_room(loop))
		return -ENOMEM;
	for (unsigned i = 0; i < loop->stream_count; i++)
		loop->stream[i] = (struct openloop_stream){.loop = loop, .next = loop->table.count};
	for (size_t i = loop->table.count; i-- > 0;) {
		struct request *request = &loop->request[i];

		request->worker = worker_of(loop, i);
		struct openloop_stream *stream = stream_of(request);

		request->next = stream->next;
		stream->next = i;
	}
	return 0;
}

/* ---- arrivals -------------------------------------------------------------------------------- */

/* What a policy may know of a request: its deadline, its service time and its class. */
static struct shunt_attr attr_of(const struct openloop *loop, size_t index)
{
	return (struct shunt_attr){.name = "request",
		.deadline_ns = openloop_intended(loop, index) + loop->deadline_ns,
		.service_ns = (int64_t)loop->table.arrival[index].service_ns,
		.priority = (unsigned)loop->table.arrival[index].class,
		.worker = loop->request[index].worker};
}

static void leave(struct openloop *loop)
{
	struct shunt_handle root = loop->root;

	/* Acquire-release pairs with itself and with the load in await (openloop.c)
	 * [openloop:pending]: the root sees what all wrote. */
	if (__atomic_sub_fetch(&loop->pending, 1, __ATOMIC_ACQ_REL) == 0)
		shunt_wake(root);
}

void openloop_leave(struct request *request)
{
	struct openloop *loop = request->loop;

	if (loop->stream_count > 1)
		/* Relaxed: a count [openloop:inside]. */
		__atomic_sub_fetch(&stream_of(request)->inside, 1, __ATOMIC_RELAXED);
	leave(loop);
}

static int spawn(struct openloop *loop, size_t index)
{
	struct shunt_attr attr = attr_of(loop, index);
	struct request *request = &loop->request[index];

	if (loop->frame)
		return shunt_spawn_step(NULL, openloop_request_step, &loop->frame[index].step,
			&attr);
	return loop->injection == INJECT_OUTSIDE
		       ? shunt_outside_spawn(loop->run, NULL, openloop_request, request, &attr)
		       : shunt_spawn(NULL, openloop_request, request, &attr);
}

/* Was one of the workers that serve this stream free, with `inside` requests in the system? */
static bool was_free(const struct openloop_stream *stream, uint64_t inside)
{
	/* Relaxed: a count; who takes away from it ran before this arrival [openloop:inside]. */
	return stream->loop->stream_count > 1
		       ? __atomic_load_n(&stream->inside, __ATOMIC_RELAXED) == 0
		       : inside < stream->loop->worker_count;
}

/* The part of the delay that neither a request's run nor, outside, the scheduler's own spawning of
 * the one before explains. */
static int64_t lag(const struct openloop_stream *stream, int64_t intended_ns, int64_t now_ns,
	uint64_t inside)
{
	/* Relaxed: a time; the lock orders what matters [openloop:chance]. */
	int64_t since = __atomic_load_n(&stream->chance_ns, __ATOMIC_RELAXED);

	if (since < intended_ns ||
		(stream->loop->injection == INJECT_TIMER && was_free(stream, inside)))
		since = intended_ns;
	/* Another worker's chance may be later than this reading of the clock. */
	return since < now_ns ? now_ns - since : 0;
}

static void note_backlog(struct openloop *loop, uint64_t backlog)
{
	/* Relaxed: a maximum, read when all have left [openloop:backlog]. */
	uint64_t most = __atomic_load_n(&loop->backlog_max, __ATOMIC_RELAXED);

	while (backlog > most && !__atomic_compare_exchange_n(&loop->backlog_max, &most, backlog,
					 true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* The request at `next` arrives: it becomes a task, or is dropped. Context: the injector. */
static void arrive(struct openloop_stream *stream, int64_t now_ns)
{
	struct openloop *loop = stream->loop;
	size_t index = stream->next;
	struct request *request = &loop->request[index];
	/* Relaxed: a count, which other streams' injectors may raise meanwhile
	 * [openloop:pending]. */
	uint64_t inside = (uint64_t)__atomic_load_n(&loop->pending, __ATOMIC_RELAXED) - 1;

	if (inside >= loop->backlog_limit) {
		request->dropped = true;
		return;
	}
	note_backlog(loop, inside + 1);
	request->injected_ns = now_ns;
	request->lag_ns = lag(stream, openloop_intended(loop, index), now_ns, inside);
	/* Relaxed: the spawn publishes the request; the injectors' share keeps the count above zero
	 * [openloop:pending], and the other is a count [openloop:inside]. */
	__atomic_add_fetch(&loop->pending, 1, __ATOMIC_RELAXED);
	if (loop->stream_count > 1)
		__atomic_add_fetch(&stream->inside, 1, __ATOMIC_RELAXED);
	int rc = spawn(loop, index);

	fail(stream, rc);
	if (rc)
		openloop_leave(request);
}

static int64_t next_due(const struct openloop_stream *stream)
{
	const struct openloop *loop = stream->loop;

	return stream->next == loop->table.count || has_failed(loop)
		       ? SHUNT_FOREVER
		       : openloop_intended(loop, stream->next);
}

/* Spawns all that are due. Context: the injector, which is given back. */
static void inject(struct openloop_stream *stream, int64_t now_ns)
{
	struct openloop *loop = stream->loop;

	while (stream->next < loop->table.count && !has_failed(loop) &&
		openloop_intended(loop, stream->next) <= now_ns) {
		arrive(stream, now_ns);
		stream->next = loop->request[stream->next].next;
		if (loop->injection == INJECT_OUTSIDE)
			stream->chance_ns = now_ns = shunt_now_ns();
	}
	/* Release pairs with due() [openloop:due]. */
	__atomic_store_n(&stream->due_ns, next_due(stream), __ATOMIC_RELEASE);
	give_injector(stream);
}

void openloop_chance(struct request *request, int64_t now_ns)
{
	struct openloop_stream *stream = stream_of(request);

	if (request->loop->injection != INJECT_TIMER)
		return;
	/* Relaxed: see lag() [openloop:chance]. */
	__atomic_store_n(&stream->chance_ns, now_ns, __ATOMIC_RELAXED);
	if (due(stream) > now_ns)
		return;
	/* All that are due wait while whoever holds the injector does. */
	shunt_preempt_off();
	if (take_injector(stream))
		inject(stream, now_ns);
	shunt_preempt_on();
}

/* ---- generators ------------------------------------------------------------------------------ */

static void end(struct openloop *loop)
{
	/* Acquire-release: the last one's leave publishes what all injectors wrote
	 * [openloop:injectors]. */
	if (__atomic_sub_fetch(&loop->injectors, 1, __ATOMIC_ACQ_REL) == 0)
		leave(loop);
}

static void *generate(void *arg)
{
	struct openloop_stream *stream = arg;
	int64_t due_ns;
	int rc = 0;

	while ((due_ns = due(stream)) != SHUNT_FOREVER) {
		int64_t now_ns = shunt_now_ns();

		if (now_ns < due_ns && !rc) {
			rc = shunt_sleep_until(due_ns);
		} else if (take_injector(stream)) {
			fail(stream, rc);
			inject(stream, now_ns);
		} else {
			shunt_yield();
		}
	}
	end(stream->loop);
	return NULL;
}

static void generate_outside(struct shunt_run *run, void *arg)
{
	struct openloop_stream *stream = arg;
	int64_t due_ns;

	(void)run;
	while ((due_ns = due(stream)) != SHUNT_FOREVER) {
		shunt_outside_wait_until(due_ns);
		take_injector(stream);
		inject(stream, shunt_now_ns());
	}
	end(stream->loop);
}

int openloop_start(struct openloop *loop)
{
	/* First in every order, or a policy would make the requests wait twice. */
	struct shunt_attr attr = {.name = "generator", .deadline_ns = 1, .service_ns = 1};
	unsigned started = 0;
	int rc = 0;

	for (unsigned i = 0; i < loop->stream_count; i++)
		loop->stream[i].due_ns = next_due(&loop->stream[i]);
	if (loop->injection == INJECT_OUTSIDE)
		return shunt_outside_start(loop->run, generate_outside, loop->stream);
	while (started < loop->stream_count && !rc) {
		attr.worker = loop->stream_count > 1 ? started + 1 : 0;
		rc = shunt_spawn(NULL, generate, &loop->stream[started], &attr);
		started += !rc;
	}
	if (!started)
		return rc;
	/* Those that there are end at once. */
	if (rc)
		fail(&loop->stream[started], rc);
	for (; started < loop->stream_count; started++)
		end(loop);
	return 0;
}
