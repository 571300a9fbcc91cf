/* SPDX-License-Identifier: MIT */
/* What of preempt=… this composition, build, processor or kernel cannot do, and why. */
#include "core/engine/preempt.h"
#include "core/engine/sanitize.h"
#include "core/cpus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/utsname.h>

#define QUANTUM_LEAST_NS   5000  /* a preemption takes some 2 us */
#define FRAMES             3     /* one interrupted handler, and one more, on the stack at a time */
#define STACK_BESIDE_BYTES 12288 /* the task's own, and the handler's calls */

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

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
	if (shunt_preempt_signal_is_taken())
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

static int check_quantum(const struct shunt_engine *engine, const char *preempt,
	struct shunt_error *err)
{
	int64_t quantum_ns = shunt_value_int(&engine->own, "quantum");
	if (!quantum_ns && !engine->policy->quantum)
		return shunt_fail(err, -EINVAL,
			"preempt=%s without a quantum: nothing would ever be preempted; say "
			"quantum=100us, or another one from 5us on",
			preempt);
	if (quantum_ns && quantum_ns < QUANTUM_LEAST_NS)
		return shunt_fail(err, -ERANGE,
			"preempt=%s with quantum=%" PRId64
			"ns: a preemption by a signal takes some 2000 ns, and the thread that asks "
			"for one, by a signal or not, looks every 5000 ns at most; use quantum=5us "
			"or more, or preempt=checkpoint",
			preempt, quantum_ns);
	return 0;
}

/* A preempter that polls takes one CPU. */
static int check_preempter(struct shunt_engine *engine, const char *preempt,
	struct shunt_error *err)
{
	struct shunt_cpus cpus;
	engine->preempter_polls = !strcmp(shunt_value_text(&engine->own, "preempter"), "poll");
	if (!engine->preempter_polls)
		return 0;
	if (!shunt_engine_ticks(engine))
		return shunt_fail(err, -EINVAL,
			"preempter=poll with preempt=%s: there is no preempter; leave it out, or "
			"say preempt=signal or preempt=compiler",
			preempt);
	int rc = shunt_cpus_allowed(&cpus);
	if (rc)
		return shunt_fail(err, rc, "preempter=poll: the CPUs cannot be asked for");
	unsigned count = shunt_cpus_count(&cpus);
	shunt_cpus_free(&cpus);
	if (count > engine->worker_count)
		return 0;
	return shunt_fail(err, -ENOTSUP,
		"preempter=poll with %u workers on %u CPUs: it needs a CPU of its own; use fewer "
		"workers, or preempter=sleep",
		engine->worker_count, count);
}

static int open_signal(struct shunt_engine *engine, struct shunt_error *err)
{
	int rc = check_machine(err);
	if (!rc)
		rc = check_stack(engine, err);
	if (!rc)
		shunt_preempt_wrap(engine);
	return rc;
}

static int open_preempter(struct shunt_engine *engine, const char *preempt, struct shunt_error *err)
{
	if (engine->sim)
		return shunt_fail(err, -ENOTSUP,
			"preempt=%s with wait=%s: there are no signals in virtual time, nor a "
			"thread that asks; preempt=checkpoint is exact there",
			preempt, engine->wait_slot->name);
	int rc = engine->preempt == SHUNT_PREEMPT_SIGNAL ? open_signal(engine, err) : 0;
	return rc ? rc : check_quantum(engine, preempt, err);
}

int shunt_preempt_open(struct shunt_engine *engine, struct shunt_error *err)
{
	static const char *const names[] = {[SHUNT_PREEMPT_NONE] = "none",
		[SHUNT_PREEMPT_CHECKPOINT] = "checkpoint",
		[SHUNT_PREEMPT_SIGNAL] = "signal",
		[SHUNT_PREEMPT_COMPILER] = "compiler"};
	const char *preempt = shunt_value_text(&engine->own, "preempt");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(preempt, names[i]))
			engine->preempt = (enum shunt_preempt)i;
	if (engine->preempt == SHUNT_PREEMPT_NONE && shunt_value_int(&engine->own, "quantum"))
		return shunt_fail(err, -EINVAL,
			"preempt=none with a quantum: nothing would end it; leave quantum out, or "
			"say preempt=checkpoint");
	int rc = check_preempter(engine, preempt, err);
	if (rc || !shunt_engine_ticks(engine))
		return rc;
	return open_preempter(engine, preempt, err);
}
