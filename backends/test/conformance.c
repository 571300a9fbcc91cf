/* SPDX-License-Identifier: MIT */
/* If this passes, every scheduler keeps every clause of the task API that it claims to offer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/test/conformance.h"
#include "backends/test/specs.h"
#include "core/test/share.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { CLAUSE_SECONDS = 200 };

struct under_test under_test;

static struct specs specs;
static const char *clause_name;

static struct {
	pthread_mutex_t lock;
	bool failed;
	char text[512];
} verdict = {.lock = PTHREAD_MUTEX_INITIALIZER};

void conformance_note(const char *file, int line, const char *what, long long expected,
	long long actual)
{
	pthread_mutex_lock(&verdict.lock);
	if (!verdict.failed)
		snprintf(verdict.text, sizeof(verdict.text), "%s:%d: %s: expected %lld, got %lld",
			file, line, what, expected, actual);
	verdict.failed = true;
	pthread_mutex_unlock(&verdict.lock);
}

/* A clause that hangs ends the test, by name. */
static void hangs(int signal)
{
	(void)signal;
	static const char text[] = "\nthis clause hangs: ";
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0 ||
		write(STDERR_FILENO, under_test.spec, strlen(under_test.spec)) < 0 ||
		write(STDERR_FILENO, ": ", 2) < 0 ||
		write(STDERR_FILENO, clause_name, strlen(clause_name)) < 0 ||
		write(STDERR_FILENO, "\n", 1) < 0)
		_exit(2);
	_exit(1);
}

static void check_outcome(const struct clause *clause, int rc, const struct shunt_error *err)
{
	const char *spec = under_test.spec;
	if (verdict.failed)
		fail_msg("%s: %s: %s", spec, clause->name, verdict.text);
	if (rc != clause->outcome)
		fail_msg("%s: %s: the run returned %d (%s), not %d", spec, clause->name, rc,
			err->text, clause->outcome);
	if (clause->explained && !strstr(err->text, clause->explained))
		fail_msg("%s: %s: '%s' does not name '%s'", spec, clause->name, err->text,
			clause->explained);
	if (clause->explained_too && !strstr(err->text, clause->explained_too))
		fail_msg("%s: %s: '%s' does not name '%s'", spec, clause->name, err->text,
			clause->explained_too);
	if (clause->after && !clause->after())
		fail_msg("%s: %s: what must hold after the run does not", spec, clause->name);
}

/* On a scheduler of its own; twice on the same, unless the first run ends it. */
static bool try_clause(const char *spec, const struct clause *clause)
{
	struct shunt_error err = {""};
	under_test.spec = spec;
	if (specs_open(&under_test.sched, spec, &err))
		fail_msg("%s: %s", spec, err.text);
	under_test.caps = under_test.sched->caps;
	bool able = (clause->needs & ~under_test.caps) == 0;
	clause_name = clause->name;
	for (int run = 0; able && run < (clause->outcome ? 1 : 2); run++) {
		static int token;
		void *result = NULL;
		verdict.failed = false;
		alarm(CLAUSE_SECONDS);
		int rc = shunt_run(under_test.sched, clause->root, &token, &result, &err);
		alarm(0);
		check_outcome(clause, rc, &err);
		/* Every clause's root returns its argument when it is done. */
		if (rc == 0 && result != &token)
			fail_msg("%s: %s: the root task's result did not come back", spec,
				clause->name);
	}
	shunt_close(under_test.sched);
	return able;
}

static void keeps_every_clause(void **state)
{
	const struct clause *const lists[] = {conformance_life, conformance_park, conformance_sync,
		conformance_outside, conformance_place, conformance_step, conformance_step_sync,
		conformance_io, conformance_io_races, conformance_io_files};
	const char *spec = *state;
	struct shunt_error err = {""};
	unsigned kept = 0, out_of_reach = 0, dealt = 0;
	size_t composition = (size_t)(spec - specs.text[0]) / SPEC_BYTES;
	if (specs_open(&under_test.sched, spec, &err)) {
		print_message("%s\n", err.text);
		skip();
	}
	shunt_close(under_test.sched);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (const struct clause *clause = lists[i]; clause->name; clause++)
			if (share_takes(composition, dealt++))
				*(try_clause(spec, clause) ? &kept : &out_of_reach) += 1;
	print_message("%s: %u clauses kept, %u beyond its capabilities\n", spec, kept,
		out_of_reach);
	assert_true(kept > 0 || share_of() > 1);
}

int main(int argc, char **argv)
{
	static struct CMUnitTest tests[SPECS_MOST];
	signal(SIGALRM, hangs);
	if (!specs_load(argc, argv))
		return 2;
	if (argc > 1)
		specs_make_from_files(&specs);
	else
		specs_make(&specs);
	if (specs.count == 0)
		return 0;
	for (size_t i = 0; i < specs.count; i++)
		tests[i] = (struct CMUnitTest){.name = specs.text[i],
			.test_func = keeps_every_clause,
			.initial_state = specs.text[i]};
	return _cmocka_run_group_tests("conformance", tests, specs.count, NULL, NULL);
}
