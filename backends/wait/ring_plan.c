/* SPDX-License-Identifier: MIT */
/*
 * What this kernel's io_uring offers. It is found once for a scheduler, by setting a ring up and
 * using it, and reported as facts. A missing feature that is needed is refused with the reason and
 * the remedy; nothing is replaced in silence.
 */
#include "backends/wait/ring_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FEATURES_NEEDED (IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_EXT_ARG)
#define OPERATIONS_MOST 256
#define TRIES_MOST      1000

static long read_number(const char *path)
{
	FILE *file = fopen(path, "re");
	long number = -1;

	if (file == NULL)
		return -1;
	if (fscanf(file, "%ld", &number) != 1)
		number = -1;
	fclose(file);
	return number;
}

static bool under_seccomp(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	int mode = 0;

	if (file == NULL)
		return false;
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "Seccomp: %d", &mode) == 1)
			break;
	fclose(file);
	return mode == 2;
}

/* A kernel that knows the call accepts our parameters: EINVAL comes from a filter. */
static int refusal(int code)
{
	return code == -EINVAL ? -EOPNOTSUPP : code;
}

/* Says why one of the system calls failed; returns the code. */
static int call_refused(const char *call, int code, struct shunt_error *err)
{
	return shunt_fail(err, refusal(code), "%s: %s%s", call, strerror(-code),
		under_seccomp() ? "; a seccomp filter may forbid it, as in many containers: allow "
				  "io_uring_setup, io_uring_enter and io_uring_register"
				: "");
}

int shunt_ring_refused(int code, struct shunt_error *err)
{
	long disabled = read_number("/proc/sys/kernel/io_uring_disabled");

	switch (code) {
	case -ENOSYS:
		return shunt_fail(err, code,
			"the kernel has no io_uring (before Linux 5.1, built without it, or an "
			"emulator that lacks it)%s",
			under_seccomp() ? ", or a seccomp filter refuses it" : "");
	case -EPERM:
	case -EACCES:
		if (disabled > 0)
			return shunt_fail(err, code,
				"io_uring is switched off (kernel.io_uring_disabled = %ld; sysctl "
				"-w "
				"kernel.io_uring_disabled=0 allows it)",
				disabled);
		return shunt_fail(err, code, "io_uring is forbidden here%s",
			under_seccomp() ? " by a seccomp filter, as in many containers; allow "
					  "io_uring_setup, io_uring_enter and io_uring_register"
					: "");
	case -ENOMEM:
		return shunt_fail(err, code,
			"no memory for a ring: raise RLIMIT_MEMLOCK (ulimit -l) or the memory "
			"limit, "
			"or ask for smaller rings");
	default:
		return call_refused("io_uring_setup", code, err);
	}
}

static unsigned flags_of(enum shunt_ring_setup setup)
{
	switch (setup) {
	case SHUNT_RING_DEFER:
		return IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		       IORING_SETUP_TASKRUN_FLAG;
	case SHUNT_RING_COOP:
		return IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	default:
		return 0;
	}
}

int shunt_ring_init(struct io_uring *ring, const struct shunt_ring_plan *plan, unsigned *features)
{
	struct io_uring_params params;
	int code;

	memset(&params, 0, sizeof(params));
	params.flags = plan->setup_flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
	params.cq_entries = plan->cq_entries;
	code = io_uring_queue_init_params(plan->sq_entries, ring, &params);
	if (code == 0)
		*features = params.features;
	return code;
}

static int find_setup(struct io_uring *ring, struct shunt_ring_plan *plan,
	enum shunt_ring_setup first, struct shunt_error *err)
{
	int code = -EINVAL;

	for (enum shunt_ring_setup s = first; s <= SHUNT_RING_PLAIN && code == -EINVAL; s++) {
		plan->setup_flags = flags_of(s);
		code = shunt_ring_init(ring, plan, &plan->features);
	}
	return code == 0 ? 0 : shunt_ring_refused(code, err);
}

/* Waits for nothing until a time long past. -ETIME: that works. */
static int wait_in_the_past(struct io_uring *ring, unsigned flags)
{
	struct __kernel_timespec past = {.tv_sec = 0, .tv_nsec = 1};
	struct io_uring_getevents_arg arg = {.ts = (uint64_t)(uintptr_t)&past};
	int code, tries = 0;

	do {
		code = io_uring_enter2(ring->ring_fd, 0, 1,
			flags | IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
			(sigset_t *)(void *)&arg, sizeof(arg));
	} while (code == -EINTR && ++tries < TRIES_MOST); /* signals say nothing of the kernel */
	return code;
}

/* May io_uring_enter be called, and does it know an absolute deadline? */
static int find_wait(struct io_uring *ring, struct shunt_ring_plan *plan, struct shunt_error *err)
{
	int code = wait_in_the_past(ring, IORING_ENTER_ABS_TIMER);

	plan->absolute_wait = code == -ETIME;
	if (code == -EINVAL)
		code = wait_in_the_past(ring, 0);
	return code == -ETIME ? 0 : call_refused("io_uring_enter", code, err);
}

static int find_operations(struct io_uring *ring, struct shunt_ring_plan *plan,
	struct shunt_error *err)
{
	struct io_uring_probe *probe =
		calloc(1, sizeof(*probe) + OPERATIONS_MOST * sizeof(probe->ops[0]));
	bool known;
	int code;

	if (probe == NULL)
		return shunt_fail(err, -ENOMEM, "out of memory for a ring");
	code = io_uring_register_probe(ring, probe, OPERATIONS_MOST);
	known = io_uring_opcode_supported(probe, IORING_OP_TIMEOUT) &&
		io_uring_opcode_supported(probe, IORING_OP_TIMEOUT_REMOVE) &&
		io_uring_opcode_supported(probe, IORING_OP_READ);
	plan->messages = plan->skips_success &&
			 io_uring_opcode_supported(probe, IORING_OP_MSG_RING);
	free(probe);
	if (code < 0)
		return call_refused("io_uring_register", code, err);
	return known ? 0
		     : shunt_fail(err, -EOPNOTSUPP,
			       "this kernel's io_uring does not offer timeouts and reads");
}

int shunt_ring_plan(struct shunt_ring_plan *plan, enum shunt_ring_setup setup, unsigned sq_entries,
	unsigned cq_entries, struct shunt_error *err)
{
	struct io_uring ring;
	int code;

	*plan = (struct shunt_ring_plan){.sq_entries = sq_entries, .cq_entries = cq_entries};
	code = find_setup(&ring, plan, setup, err);
	if (code != 0)
		return code;
	if ((plan->features & FEATURES_NEEDED) != FEATURES_NEEDED) {
		code = shunt_fail(err, -EOPNOTSUPP,
			"this kernel's io_uring lacks required features (has %#x, needs %#x: "
			"NODROP, SUBMIT_STABLE, EXT_ARG); Linux 5.11 has them",
			plan->features, (unsigned)FEATURES_NEEDED);
		goto out;
	}
	plan->skips_success = plan->features & IORING_FEAT_CQE_SKIP;
	code = find_operations(&ring, plan, err);
	if (code == 0)
		code = find_wait(&ring, plan, err);
	if (code == 0)
		plan->registers_itself = io_uring_register_ring_fd(&ring) == 1;
out:
	io_uring_queue_exit(&ring);
	return code;
}

void shunt_ring_plan_facts(const struct shunt_ring_plan *plan, const char *prefix,
	shunt_fact_fn *fact, void *sink)
{
	static const struct {
		unsigned flag;
		const char *name;
	} flags[] = {
		{IORING_SETUP_SINGLE_ISSUER, "SINGLE_ISSUER"},
		{IORING_SETUP_DEFER_TASKRUN, "DEFER_TASKRUN"},
		{IORING_SETUP_COOP_TASKRUN, "COOP_TASKRUN"},
		{IORING_SETUP_TASKRUN_FLAG, "TASKRUN_FLAG"},
	};
	char name[64], value[128];
	size_t used = 0;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (plan->setup_flags & flags[i].flag)
			used += (size_t)snprintf(value + used, sizeof(value) - used, "%s%s",
				used > 0 ? "|" : "", flags[i].name);
	snprintf(name, sizeof(name), "%s.setup_flags", prefix);
	fact(sink, name, used > 0 ? value : "none", "io_uring_setup");
	snprintf(name, sizeof(name), "%s.features", prefix);
	snprintf(value, sizeof(value), "%#x", plan->features);
	fact(sink, name, value, "io_uring_setup");
	snprintf(name, sizeof(name), "%s.entries", prefix);
	snprintf(value, sizeof(value), "%u/%u", plan->sq_entries, plan->cq_entries);
	fact(sink, name, value, "io_uring_setup");
	snprintf(name, sizeof(name), "%s.registered_ring", prefix);
	fact(sink, name, plan->registers_itself ? "yes" : "no", "io_uring_register");
	snprintf(name, sizeof(name), "%s.wait_deadline", prefix);
	fact(sink, name, plan->absolute_wait ? "absolute" : "relative", "io_uring_enter");
	snprintf(name, sizeof(name), "%s.timer_slack", prefix);
	fact(sink, name, "none: io_uring's waits and timeouts have none", "io_uring_enter(2)");
}
