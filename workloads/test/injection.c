/* SPDX-License-Identifier: MIT */
/*
 * If this passes, requests come from a thread beside the scheduler, on a CPU of its own where one
 * can be spared, and it is refused or given way to where it could not do its work.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/test/specs.h"
#include "core/harness.h"
#include "core/sched.h"
#include "core/workload.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT = 77 };

/* ---- a workload that is this test's ---------------------------------------------------------- */

static struct {
	int (*body)(struct shunt_run *run);
	int rc, second_rc;
	uint64_t joined_again;
	cpu_set_t visitors; /* where the task from outside may run */
	_Atomic bool ran;
} seen;

static const struct shunt_param no_params[] = {{.name = NULL}};

static int want(struct shunt_run *run, struct shunt_error *err)
{
	(void)err;
	shunt_outside_wanted(run);
	return 0;
}

static void small(const struct shunt_run *run, struct shunt_footprint *need)
{
	(void)run;
	*need = (struct shunt_footprint){.tasks = 4};
}

static int call_body(struct shunt_run *run)
{
	return seen.body(run);
}

static void counted(struct shunt_run *run)
{
	shunt_check_true(run, "came_here", true);
	shunt_operations(run, 1);
}

static const struct shunt_workload visits = {.name = "visits",
	.cost_metric = "ns_per_visit",
	.params = no_params,
	.resolve = want,
	.footprint = small,
	.body = call_body,
	.verify = counted};

/* One iteration; freed by the caller. */
static struct shunt_run *execute(const struct shunt_workload *workload, const char *spec,
	struct shunt_setting *settings, size_t count)
{
	static struct shunt_request request;
	struct shunt_run *made = NULL;
	struct shunt_error err = {""};
	request = (struct shunt_request){.spec = spec,
		.workload = workload,
		.params = settings,
		.param_count = count,
		.seed = 3,
		.iterations = 1};
	if (shunt_run_prepare(&made, &request, &err))
		fail_msg("%s: %s", spec, err.text);
	shunt_run_execute(made);
	return made;
}

static struct shunt_run *visit(const char *spec, int (*body)(struct shunt_run *run))
{
	memset(&seen, 0, sizeof(seen));
	seen.body = body;
	return execute(&visits, spec, NULL, 0);
}

static struct shunt_run *serve(const char *spec)
{
	static struct shunt_setting settings[] = {{"injection", "outside", true},
		{"requests", "50", true}, {"mean", "10us", true}, {"load", "0.3", true}};
	for (const struct shunt_plugin *p = shunt_registry_workloads; p->name; p++)
		if (!strcmp(p->name, "openloop"))
			return execute(p->object, spec, settings, 4);
	fail_msg("no workload openloop");
	return NULL;
}

static const char *fact(const struct shunt_run *made, const char *name)
{
	const struct shunt_outcome *outcome = shunt_run_outcome(made);
	for (size_t i = 0; i < outcome->fact_count; i++)
		if (!strcmp(outcome->facts[i].key, name))
			return outcome->facts[i].value;
	return "";
}

static const struct shunt_backend *backend_with(unsigned cap, bool has)
{
	for (const struct shunt_plugin *p = shunt_registry_backends; p->name; p++) {
		struct shunt_sched *sched;
		if (!p->object || shunt_open(&sched, p->name, NULL, NULL))
			continue;
		bool found = !(sched->caps & cap) == !has;
		shunt_close(sched);
		if (found)
			return p->object;
	}
	return NULL;
}

/* ---- refused --------------------------------------------------------------------------------- */

static void come_and_go(struct shunt_run *run, void *arg)
{
	(void)run, (void)arg;
}

static int start_twice(struct shunt_run *run)
{
	seen.rc = shunt_outside_start(run, come_and_go, NULL);
	seen.second_rc = shunt_outside_start(run, come_and_go, NULL);
	shunt_outside_join(run);
	seen.joined_again = shunt_outside_join(run);
	return 0;
}

static void there_is_one_at_a_time(void **state)
{
	(void)state;
	struct shunt_run *made = visit(specs_base(), start_twice);
	assert_int_equal(shunt_run_outcome(made)->status, SHUNT_RECORD_OK);
	assert_int_equal(seen.rc, 0);
	assert_int_equal(seen.second_rc, -EBUSY);
	assert_int_equal(seen.joined_again, 0);
	shunt_run_free(made);
}

static void a_backend_that_takes_nothing_is_skipped(void **state)
{
	const struct shunt_backend *deaf = backend_with(SHUNT_EXTERNAL_WAKE, false);
	(void)state;
	if (!deaf)
		skip();
	struct shunt_run *made = visit(deaf->name, start_twice);
	assert_int_equal(seen.rc, -ENOTSUP);
	shunt_run_free(made);
	made = serve(deaf->name);
	assert_int_equal(shunt_run_outcome(made)->status, SHUNT_RECORD_SKIPPED);
	assert_non_null(strstr(shunt_run_outcome(made)->reason, "injection=timer does without"));
	shunt_run_free(made);
}

static int forbid(unsigned call)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? -errno : 0;
}

static int start_without_threads(struct shunt_run *run)
{
	if (forbid(SYS_clone) || forbid(SYS_clone3))
		_exit(CANNOT);
	seen.rc = shunt_outside_start(run, come_and_go, NULL);
	return 0;
}

/* Runs `work`, which does not return, in a process of its own. */
static void apart(void (*work)(void))
{
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		alarm(100);
		work();
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT)
		skip();
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("the process ended with %#x", (unsigned)status);
}

/* Nor is the scheduler left waiting for it. */
static void refuse_threads(void)
{
	struct shunt_run *made = visit(specs_base(), start_without_threads);
	_exit(shunt_run_outcome(made)->status == SHUNT_RECORD_OK && seen.rc == -EAGAIN ? 0 : 1);
}

static void no_thread_to_be_had_is_an_error(void **state)
{
	(void)state;
	apart(refuse_threads);
}

/* ---- a CPU of its own ------------------------------------------------------------------------ */

static void a_cpu_is_set_apart_where_one_can_be_spared(void **state)
{
	cpu_set_t before, after;
	char spec[64];
	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	struct shunt_run *made = serve(specs_base());
	assert_string_equal(fact(made, "outside.apart"), CPU_COUNT(&before) > 1 ? "yes" : "no");
	int cpu = atoi(fact(made, "outside.cpu"));
	assert_true(CPU_ISSET(cpu, &before));
	for (int later = cpu + 1; later < CPU_SETSIZE; later++)
		assert_false(CPU_ISSET(later, &before));
	shunt_run_free(made);
	assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
	assert_true(CPU_EQUAL(&before, &after));

	snprintf(spec, sizeof(spec), "%s:workers=%d", specs_base(), CPU_COUNT(&before));
	made = serve(spec);
	assert_string_equal(fact(made, "outside.apart"), "no");
	shunt_run_free(made);
}

static size_t least_bytes; /* the kernel refuses a mask shorter than that */

int __real_sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set);
int __wrap_sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set);
int __wrap_sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set)
{
	errno = EINVAL;
	return bytes < least_bytes ? -1 : __real_sched_getaffinity(pid, bytes, set);
}

static void also_where_the_kernel_knows_more_cpus_than_a_cpu_set_t(void **state)
{
	cpu_set_t before;
	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	least_bytes = 2 * sizeof(cpu_set_t);
	struct shunt_run *made = serve(specs_base());
	least_bytes = 0;
	assert_string_equal(fact(made, "outside.apart"), CPU_COUNT(&before) > 1 ? "yes" : "no");
	assert_true(CPU_ISSET(atoi(fact(made, "outside.cpu")), &before));
	shunt_run_free(made);
}

/* Also beside a worker that is bound to another CPU, and starts the thread. */
static void else_it_is_on_the_last_one(void **state)
{
	cpu_set_t cpus;
	char spec[128];
	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	if (CPU_COUNT(&cpus) < 2)
		skip();
	for (const struct shunt_plugin *p = shunt_registry_places; p->name; p++) {
		struct shunt_sched *sched;
		snprintf(spec, sizeof(spec), "%s:place=%s,workers=%d", specs_base(), p->name,
			CPU_COUNT(&cpus));
		if (!p->object || shunt_open(&sched, spec, NULL, NULL))
			continue;
		shunt_close(sched);
		struct shunt_run *made = serve(spec);
		assert_string_equal(fact(made, "outside.apart"), "no");
		for (int later = atoi(fact(made, "outside.cpu")) + 1; later < CPU_SETSIZE; later++)
			if (CPU_ISSET(later, &cpus))
				fail_msg("%s: it is on CPU %s", spec, fact(made, "outside.cpu"));
		shunt_run_free(made);
	}
}

static void *look_where(void *arg)
{
	(void)arg;
	sched_getaffinity(0, sizeof(seen.visitors), &seen.visitors);
	seen.ran = true;
	return NULL;
}

static void send_one(struct shunt_run *run, void *arg)
{
	(void)arg;
	seen.rc = shunt_outside_spawn(run, NULL, look_where, NULL, NULL);
}

static int wait_for_one(struct shunt_run *run)
{
	int rc = shunt_outside_start(run, send_one, NULL);
	shunt_outside_join(run);
	while (!rc && !seen.rc && !seen.ran)
		shunt_sleep_for(100000);
	return rc;
}

/* Where a task is a kernel thread, it inherits what its creator was bound to, if nobody looks
 * after it. */
static void tasks_leave_that_cpu_alone(void **state)
{
	const struct shunt_plugin *p = shunt_registry_backends;
	(void)state;
	for (; p->name; p++) {
		const struct shunt_backend *backend = p->object;
		struct shunt_sched *sched;
		if (!backend || shunt_open(&sched, p->name, NULL, NULL))
			continue;
		bool able = sched->caps & SHUNT_EXTERNAL_WAKE;
		shunt_close(sched);
		if (!able)
			continue;
		struct shunt_run *made = visit(p->name, wait_for_one);
		assert_int_equal(shunt_run_outcome(made)->status, SHUNT_RECORD_OK);
		assert_int_equal(seen.rc, 0);
		if (!strcmp(fact(made, "outside.apart"), "yes") &&
			CPU_ISSET(atoi(fact(made, "outside.cpu")), &seen.visitors))
			fail_msg("%s: tasks run on the generator's CPU", p->name);
		shunt_run_free(made);
	}
}

/* ---- beside real-time workers ---------------------------------------------------------------- */

static void be_real_time(int priority)
{
	const struct sched_param param = {.sched_priority = priority};
	cpu_set_t set;
	int cpu = 0;
	if (sched_getaffinity(0, sizeof(set), &set))
		_exit(CANNOT);
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) || sched_setscheduler(0, SCHED_FIFO, &param))
		_exit(CANNOT);
}

static const char *spinning(void)
{
	static char spec[64];
	for (const struct shunt_plugin *p = shunt_registry_waits; p->name; p++) {
		const struct shunt_wait *wait = p->object;
		if (wait && wait->spins)
			snprintf(spec, sizeof(spec), "%s:wait=%s", specs_base(), p->name);
	}
	return spec;
}

/* A worker that never sleeps is not preempted by its equals. */
static void spin_in_real_time(void)
{
	be_real_time(1);
	struct shunt_run *made = serve(spinning());
	const struct shunt_outcome *outcome = shunt_run_outcome(made);
	_exit(outcome->status == SHUNT_RECORD_OK || !strncmp(outcome->reason, "invalid: ", 9) ? 0
											      : 1);
}

static void a_spinning_real_time_worker_does_not_shut_it_out(void **state)
{
	(void)state;
	apart(spin_in_real_time);
}

static void spin_on_top(void)
{
	be_real_time(sched_get_priority_max(SCHED_FIFO));
	struct shunt_run *made = serve(spinning());
	const struct shunt_outcome *outcome = shunt_run_outcome(made);
	_exit(outcome->status == SHUNT_RECORD_FAILED && strstr(outcome->reason, "priority") ? 0
											    : 1);
}

static void where_nothing_outranks_the_workers_it_is_refused(void **state)
{
	(void)state;
	apart(spin_on_top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* Those that fork come before this process has had a thread: qemu-user 7.2 trips
		 * over what a thread that has just ended left behind, if the child starts one. */
		cmocka_unit_test(no_thread_to_be_had_is_an_error),
		cmocka_unit_test(a_spinning_real_time_worker_does_not_shut_it_out),
		cmocka_unit_test(where_nothing_outranks_the_workers_it_is_refused),
		cmocka_unit_test(there_is_one_at_a_time),
		cmocka_unit_test(a_backend_that_takes_nothing_is_skipped),
		cmocka_unit_test(a_cpu_is_set_apart_where_one_can_be_spared),
		cmocka_unit_test(also_where_the_kernel_knows_more_cpus_than_a_cpu_set_t),
		cmocka_unit_test(else_it_is_on_the_last_one),
		cmocka_unit_test(tasks_leave_that_cpu_alone),
	};
	return _cmocka_run_group_tests("injection", tests, sizeof(tests) / sizeof(tests[0]), NULL,
		NULL);
}
