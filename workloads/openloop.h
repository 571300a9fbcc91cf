/* SPDX-License-Identifier: MIT */
/*
 * An open loop in progress, shared by openloop.c (a request, an iteration), openloop_setup.c (from
 * parameters to a table), openloop_inject.c (who starts the requests), openloop_report.c (what the
 * record says of them) and openloop_exact.c (what it would say without a scheduler).
 */
#ifndef SHUNT_WORKLOADS_OPENLOOP_H
#define SHUNT_WORKLOADS_OPENLOOP_H

#include "workloads/arrivals.h"
#include "workloads/crowd.h"

#include <stdbool.h>

struct openloop;

/* What became of a request. Its place in the array is its number; times are of shunt_now_ns. */
struct request {
	struct openloop *loop;
	int64_t injected_ns; /* its task was spawned */
	int64_t lag_ns;      /* by how much the injection was late of its own fault */
	int64_t started_ns;  /* its task ran first */
	int64_t ended_ns;
	/* From first run to end but for its own sleep and others' turns; where the kernel shares a
	 * CPU, of its thread's time. */
	int64_t served_ns;
	size_t next;     /* of its stream; the table's count: none */
	uint32_t worker; /* 1 and up: it is put on that one; 0: on any */
	uint32_t runs;
	bool dropped;
};

/* form=step: what is alive over a step of a request. */
struct openloop_frame {
	struct shunt_step step;
	struct request *request;
	int64_t left_ns, due_ns; /* of this half's work; the end of the sleep */
	int half;
};

/*
 * Requests that one injector makes tasks of, in the table's order: all, or with injection=timer
 * those that are put on one worker. A worker that is put under load by one generator for all would
 * wait for the generator, which waits for its own worker.
 */
struct openloop_stream {
	_Alignas(64) struct openloop *loop;
	int injecting;  /* [openloop:injecting] whoever holds it moves `next` on */
	size_t next;    /* the first request that has not arrived; the table's count: none */
	int64_t due_ns; /* [openloop:due] its intended arrival; SHUNT_FOREVER: all have arrived */
	/* When the scheduler last gave the injector a chance. */
	int64_t chance_ns; /* [openloop:chance] */
	/* Requests in the system, where there are several streams. */
	int64_t inside; /* [openloop:inside] */
};

enum openloop_injection { INJECT_TIMER, INJECT_OUTSIDE };

enum openloop_steer { STEER_AUTO, STEER_POLICY, STEER_HASH };

/* Which series the record holds. */
enum openloop_keep { KEEP_ALL, KEEP_RESPONSE, KEEP_SLOWDOWN, KEEP_NONE };

struct openloop {
	/* Constant after set-up. */
	struct shunt_arrivals table;
	struct request *request;
	struct openloop_frame *frame; /* NULL: tasks with stacks */
	uint64_t table_hash, backlog_limit, skip, stall_at;
	int64_t slice_ns, block_ns, stall_ns, deadline_ns;
	enum openloop_injection injection;
	enum openloop_steer steer;
	enum openloop_keep keep;
	uint64_t seed;
	struct shunt_run *run;
	struct openloop_gauges *gauges;
	bool shared_by_kernel; /* served_ns is read from the thread's clock */
	/* The service of a request; NULL: calibrated work for as long as the table says. */
	void (*work)(struct request *request);

	/* Of the iteration; constant while requests run. */
	int64_t start_ns;
	struct shunt_handle root;
	unsigned worker_count;
	bool steered; /* each request is put on a worker */
	struct openloop_stream *stream;
	unsigned stream_count, streams_made; /* of this iteration; room for */

	uint64_t backlog_max; /* [openloop:backlog] */
	int rc;               /* [openloop:rc] of a spawn that failed */
	size_t failed_at;     /* of which request */
	int64_t injectors;    /* [openloop:injectors] that have not ended */
	int64_t pending; /* [openloop:pending] requests in the system, and one for the injectors */

	/* Of the iteration, after it. */
	uint64_t cpu_ns;
	int64_t end_ns;
};

/* When the request was meant to arrive. */
static inline int64_t openloop_intended(const struct openloop *loop, size_t index)
{
	return loop->start_ns + (int64_t)loop->table.arrival[index].at_ns;
}

/* ---- openloop_setup.c ------------------------------------------------------------------------ */

extern const struct shunt_param openloop_params[];

/* The hooks of struct shunt_workload. */
int openloop_resolve(struct shunt_run *run, struct shunt_error *err);
/* Of resolve, what is the same for all that arrives by a table: after `requests`, `rate`, `load`
 * and `mean` are known. */
int openloop_resolve_rest(struct shunt_run *run, int64_t mean_ns, struct shunt_error *err);
void openloop_footprint(const struct shunt_run *run, struct shunt_footprint *footprint);
int openloop_setup(struct shunt_run *run, struct shunt_error *err);
/* Of setup, what follows the table: `loop` has it, and is zero else. teardown: its opposite. */
int openloop_begin(struct shunt_run *run, struct openloop *loop, struct shunt_error *err);
void openloop_end(struct openloop *loop);
void openloop_print_arrivals(const struct shunt_run *run, FILE *out);
void openloop_teardown(struct shunt_run *run);

/* ---- openloop_inject.c ----------------------------------------------------------------------- */

/* Puts each request into its stream. 0, -ENOMEM. Context: the root task, before openloop_start. */
int openloop_streams(struct openloop *loop);

/* Starts the generators; 0, or a negative errno. Context: the root task. */
int openloop_start(struct openloop *loop);

/* A request gives way, at `now_ns`. Context: its task. */
void openloop_chance(struct request *request, int64_t now_ns);

/* A request leaves the system. Context: its task. */
void openloop_leave(struct request *request);

/* ---- openloop.c ------------------------------------------------------------------------------ */

/* One iteration: struct shunt_workload's body. */
int openloop_iterate(struct openloop *loop);

/* A place in a request's own work where a quantum may end: others may have had their turn when it
 * returns. Context: its task. */
void openloop_checkpoint(struct request *request);

/* A request's task; its argument is a struct request. */
void *openloop_request(void *arg);
/* The same as a step task; its frame is a struct openloop_frame. */
int openloop_request_step(struct shunt_step *step);

/* ---- openloop_report.c ----------------------------------------------------------------------- */

/* Makes the series; 0, -ENOMEM. Context: setup; teardown. */
int openloop_gauges_init(struct openloop *loop);
void openloop_gauges_fini(struct openloop *loop);

/* Records the iteration's samples and metrics. Context: the root task, after the last request,
 * outside the timed region. */
void openloop_report(struct openloop *loop);

/* The checks. Context: verify. */
void openloop_check(const struct openloop *loop);

/* Whether a generator outside kept up: struct shunt_workload's judge. */
int openloop_judge(const struct shunt_run *run, struct shunt_error *err);

/* ---- openloop_exact.c ------------------------------------------------------------------------ */

struct shunt_hist;

/* Records what a first-come-first-served queue makes of the table, from request `skip` on; slowdown
 * in thousandths. 0; -ENOENT: this composition is not such a queue; -ENOMEM. Context: the root
 * task, after openloop_streams. */
int openloop_exact(struct openloop *loop, struct shunt_hist *queueing, struct shunt_hist *response,
	struct shunt_hist *slowdown);

#endif
