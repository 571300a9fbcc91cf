/* SPDX-License-Identifier: MIT */
/* If this passes, what a program says is taken as it says it, and every line that is not of the
 * protocol fails the run with its number and the reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/cli/program.h"
#include "core/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM                                                                                    \
	"{\"program\": {\"build_id\": \"deadbeef\", \"composition\": {\"workers\": \"1\"}}}\n"
#define BEGIN(n) "{\"begin\": " #n "}\n"
#define CHECK    "{\"check\": {\"name\": \"n\", \"expected\": 3, \"actual\": 3}}\n"
#define END      "{\"end\": {\"wall_ns\": 2000, \"cpu_ns\": 1000, \"ops\": 10}}\n"
#define INSIDE   PROGRAM BEGIN(1)
#define WHOLE    PROGRAM BEGIN(1) CHECK END BEGIN(2) CHECK END

/* ---- a run of a program ---------------------------------------------------------------------- */

static struct {
	struct cli_program program;
	struct shunt_request request;
	struct shunt_run *run;
	const struct shunt_outcome *outcome;
} now;

static void run(const char *const *command)
{
	const struct shunt_workload workload = {.name = "tour", .cost_metric = "ns_per_op"};
	struct shunt_error err = {""};

	cli_program_init(&now.program, "mine", &workload, command, 2);
	now.request = (struct shunt_request){.spec = "mine:workers=2,way=far",
		.backend = &now.program.backend,
		.workload = &now.program.workload,
		.seed = UINT64_MAX,
		.warmup = 1,
		.iterations = 1,
		.clock_span_ns = 1000000};
	assert_int_equal(shunt_run_prepare(&now.run, &now.request, &err), 0);
	shunt_run_set_state(now.run, &now.program);
	shunt_run_execute(now.run);
	now.outcome = shunt_run_outcome(now.run);
}

/* The run of a program that says just this. */
static void say(const char *bytes, size_t length)
{
	char path[] = "/tmp/shunt-told-XXXXXX";
	const char *const command[] = {"cat", path, NULL};
	int fd = mkstemp(path);

	assert_int_equal(write(fd, bytes, length), length);
	close(fd);
	run(command);
	unlink(path);
}

static void ends(enum shunt_record_status status, const char *reason)
{
	if (now.outcome->status != status || !strstr(now.outcome->reason, reason))
		fail_msg("%s: '%s', expected %s: '%s'",
			shunt_record_status_name(now.outcome->status), now.outcome->reason,
			shunt_record_status_name(status), reason);
	shunt_run_free(now.run);
}

static void refuses(const char *lines, const char *reason)
{
	say(lines, strlen(lines));
	ends(SHUNT_RECORD_FAILED, reason);
}

static void runs_script(const char *script, enum shunt_record_status status, const char *reason)
{
	const char *const command[] = {"sh", "-c", script, NULL};

	run(command);
	ends(status, reason);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void takes_what_is_said(void **state)
{
	static const char lines[] = PROGRAM
		"{\"fact\": {\"name\": \"a.b\", \"value\": \"c\"}}\n" BEGIN(1) CHECK
		"{\"samples\": {\"name\": \"lap\", \"values\": [1, 2]}}\n"
		"{\"counter\": {\"name\": \"hops\", \"value\": 5}}\n" END BEGIN(2) CHECK
		"{\"samples\": {\"name\": \"lap\", \"values\": [7, 8, -9]}}\n"
		"{\"samples\": {\"name\": \"lap\", \"unit\": \"ns\", \"values\": [10]}}\n"
		"{\"counter\": {\"name\": \"hops\", \"value\": 6}}\n"
		"{\"counter\": {\"name\": \"hops\", \"value\": 1}}\n"
		"{\"metric\": {\"name\": \"m\", \"value\": 1.5, \"unit\": \"1\", \"better\": "
		"\"none\"}}\n" END;
	(void)state;

	say(lines, strlen(lines));
	const struct shunt_outcome *o = now.outcome;

	assert_string_equal(o->reason, "");
	assert_string_equal(o->build_id, "deadbeef");
	assert_int_equal(o->composition_count, 2);
	assert_string_equal(o->composition[0].value, "1"); /* as it is, not as it was asked for */
	assert_string_equal(o->composition[1].value, "far");
	assert_string_equal(o->facts[o->fact_count - 1].value, "c");
	assert_int_equal(o->warmup_done, 1);
	assert_int_equal(o->iteration_count, 1);
	assert_int_equal(o->iterations[0].wall_ns, 2000);
	assert_int_equal(o->iterations[0].cpu_ns, 1000);
	assert_int_equal(o->iterations[0].ops, 10);
	assert_int_equal(o->series_count, 1);
	assert_int_equal(o->series[0].hist.count, 4); /* those of the warm-up are not among them */
	assert_int_equal(o->series[0].hist.negative, 1);
	assert_int_equal(o->counters[0].value, 7);
	assert_true(shunt_run_median(now.run, "m") == 1.5);
	assert_true(shunt_run_median(now.run, "ns_per_op") == 200);
	assert_true(o->usage.peak_rss_bytes > 0);
	ends(SHUNT_RECORD_OK, "");
}

static void asks_in_one_line(void **state)
{
	(void)state;
	runs_script("read q; test \"$q\" = "
		    "'{\"backend\":\"mine\",\"iterations\":2,\"params\":{},\"seed\":"
		    "\"18446744073709551615\",\"settings\":{\"way\":\"far\",\"workers\":\"2\"},"
		    "\"workload\":\"tour\"}' && ! read more && test -x \"$SHUNT\" && "
		    "echo '{\"skip\": \"it is as it should be\"}'",
		SHUNT_RECORD_SKIPPED, "it is as it should be");
}

static void refuses_what_is_no_message(void **state)
{
	(void)state;
	refuses("hello\n", "line 1 of the program's output: it is not JSON");
	refuses("hello\n", "'hello'; other output belongs on its standard error");
	refuses("\n", "it is not JSON");
	refuses("[1]\n", "not a JSON object of one member");
	refuses("{}\n", "not a JSON object of one member");
	refuses("{\"skip\": \"a\", \"fail\": \"b\"}\n", "not a JSON object of one member");
	refuses("{\"frob\": 1}\n", "'frob' is not a message");
	refuses("{\"skip\": 5}\n", "skip: it has no reason");
	refuses("{\"program\": {\"build_id\": \"deadbeef\", \"build_id\": \"deadbeef\"}}\n",
		"duplicate");
	refuses("{\"program\": {\"build_id\": \"main\"}}\n",
		"'main' is not 8 to 128 hexadecimal digits");
	refuses("{\"program\": {\"build_id\": \"deadbeef\", \"composition\": {\"A\": \"1\"}}}\n",
		"'A' is not a valid name");
	refuses("{\"program\": {\"build_id\": \"deadbeef\", \"composition\": {\"a\": 1}}}\n",
		"the setting a is not a text");
	say("{\"a\0\": 1}\n", 10);
	ends(SHUNT_RECORD_FAILED, "it is not JSON");
	say("\xff\xfe\n", 3);
	ends(SHUNT_RECORD_FAILED, "it is not JSON");
}

static void refuses_what_is_out_of_place(void **state)
{
	(void)state;
	refuses(BEGIN(1), "no line {\"program\": …} came before");
	refuses(PROGRAM CHECK, "`check` belongs between `begin` and `end`");
	refuses(PROGRAM BEGIN(2), "not the number of the iteration, 1");
	refuses(PROGRAM BEGIN(1) BEGIN(2), "`begin` belongs where no iteration is in progress");
	refuses(PROGRAM END, "`end` belongs between");
	refuses(INSIDE "{\"skip\": \"late\"}\n", "`skip` belongs before the first `begin`");
	refuses(WHOLE BEGIN(3), "went on after its last iteration, with line 8");
	refuses(INSIDE END, "did not check its answer");
}

static void refuses_numbers_that_are_none(void **state)
{
#define METRIC(value)                                                                              \
	INSIDE "{\"metric\": {\"name\": \"m\", \"value\": " value                                  \
	       ", \"unit\": \"1\", \"better\": \"none\"}}\n"
#define ENDS(wall, cpu, ops)                                                                       \
	INSIDE CHECK "{\"end\": {\"wall_ns\": " wall ", \"cpu_ns\": " cpu ", \"ops\": " ops "}}\n"
	(void)state;
	refuses(METRIC("NaN"), "it is not JSON");
	refuses(METRIC("Infinity"), "it is not JSON");
	refuses(METRIC("1e999"), "it is not JSON: real number overflow");
	refuses(METRIC("1e31"), "beyond 1e30");
	refuses(METRIC("\"1\""), "Expected");
	refuses(ENDS("0", "1", "1"), "wall_ns is 0; it must be 1 to 2^53");
	refuses(ENDS("1", "-1", "1"), "cpu_ns is -1");
	refuses(ENDS("1", "1", "0"), "ops is 0");
	refuses(ENDS("1", "1", "9007199254740993"), "ops is 9007199254740993");
	refuses(ENDS("1", "1", "99999999999999999999"), "too big integer");
	refuses(ENDS("1.5", "1", "1"), "end: Expected integer");
	refuses(INSIDE "{\"counter\": {\"name\": \"c\", \"value\": -1}}\n", "value is -1");
	refuses(INSIDE "{\"samples\": {\"name\": \"s\", \"values\": [1, 2.5]}}\n",
		"value 2 of the series s is not an integer");
	refuses(INSIDE "{\"samples\": {\"name\": \"s\", \"values\": 5}}\n",
		"not an array of integers");
}

static void refuses_names_and_units(void **state)
{
	(void)state;
	refuses(INSIDE "{\"metric\": {\"name\": \"M\", \"value\": 1, \"unit\": \"1\", \"better\": "
		       "\"none\"}}\n",
		"'M' is not a valid name");
	refuses(INSIDE
		"{\"metric\": {\"name\": \"m\", \"value\": 1, \"unit\": \"a b\", \"better\": "
		"\"none\"}}\n",
		"'a b' is not a valid unit");
	refuses(INSIDE "{\"metric\": {\"name\": \"m\", \"value\": 1, \"unit\": \"1\", \"better\": "
		       "\"up\"}}\n",
		"better is 'up'");
	refuses(INSIDE "{\"metric\": {\"name\": \"ns_per_op\", \"value\": 1, \"unit\": \"1\", "
		       "\"better\": \"none\"}}\n",
		"ns_per_op is computed from the line `end`");
	refuses(INSIDE "{\"check\": {\"name\": \"\", \"expected\": 1, \"actual\": 1}}\n",
		"1 to 63 bytes");
	refuses(INSIDE "{\"check\": {\"name\": \"n\", \"expected\": 1}}\n", "not found: actual");
	refuses(INSIDE
		"{\"check\": {\"name\": \"n\", \"expected\": 1, \"actual\": 1, \"ok\": true}}\n",
		"unpacked: ok");
	refuses(INSIDE "{\"samples\": {\"name\": \"s\", \"values\": []}}\n"
		       "{\"samples\": {\"name\": \"s\", \"unit\": \"1/1000\", \"values\": []}}\n",
		"has the unit ns, not 1/1000");
}

/* A line that is repeated, with its number in it. */
static void refuses_many(const char *format, int count, const char *reason)
{
	char *all = NULL;
	size_t length;
	FILE *text = open_memstream(&all, &length);

	fputs(INSIDE, text);
	for (int i = 0; i < count; i++)
		fprintf(text, format, i);
	fclose(text);
	refuses(all, reason);
	free(all);
}

static void refuses_what_has_no_end(void **state)
{
	char *line = malloc(CLI_LINE_MOST + 1);
	(void)state;

	memset(line, ' ', CLI_LINE_MOST);
	line[CLI_LINE_MOST] = '\0';
	refuses(line, "line 1 of the program's output is longer than 1048576 bytes");
	free(line);
	refuses_many("{\"check\": {\"name\": \"n%d\", \"expected\": 1, \"actual\": 1}}\n", 1001,
		"more than 1000 checks and metrics");
	refuses_many("{\"fact\": {\"name\": \"n%d\", \"value\": \"\"}}\n", 1000,
		"more than 1000 settings");
	refuses_many("{\"counter\": {\"name\": \"n%d\", \"value\": 1}}\n", 257,
		"more than 256 counters");
	refuses_many("{\"samples\": {\"name\": \"n%d\", \"values\": []}}\n", 33,
		"more than 32 series");
}

static void says_how_a_program_ended(void **state)
{
	(void)state;
	refuses("", "the program ended before its last iteration was over");
	refuses(PROGRAM "{\"begin\"", "ended in the middle of line 2");
	refuses(INSIDE CHECK END, "the program ended before its last iteration was over");
	runs_script("kill -SEGV $$", SHUNT_RECORD_FAILED, "the program was killed by SIGSEGV");
	runs_script("exit 3", SHUNT_RECORD_FAILED, "the program ended with status 3");
	runs_script("printf '%s' '" WHOLE "'; exit 4", SHUNT_RECORD_FAILED,
		"after its last iteration the program ended with status 4");
	runs_script("exec >&-; sleep 1000", SHUNT_RECORD_FAILED,
		"closed its output and was still there");
	/* What it leaves behind may hold its output open. */
	runs_script("sleep 1000 & printf '%s' '" WHOLE "'", SHUNT_RECORD_OK, "");
	runs_script("echo '{\"fail\": \"no luck\"}'", SHUNT_RECORD_FAILED, "no luck");
	runs_script("echo '{\"skip\": \"no way\"}'", SHUNT_RECORD_SKIPPED, "no way");
}

static void says_what_cannot_be_started(void **state)
{
	const char *const missing[] = {"/nonexistent/program", NULL};
	(void)state;

	run(missing);
	ends(SHUNT_RECORD_FAILED, "/nonexistent/program cannot be started: No such file");
}

static void a_wrong_answer_is_one(void **state)
{
	static const char wrong[] = INSIDE
		"{\"check\": {\"name\": \"n\", \"expected\": 3, \"actual\": -4}}\n" END;
	(void)state;

	say(wrong, strlen(wrong));
	assert_true(now.outcome->check_failed);
	ends(SHUNT_RECORD_FAILED,
		"wrong answer in warm-up iteration 1 of 1: n should be 3 and is -4");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_is_said),
		cmocka_unit_test(asks_in_one_line),
		cmocka_unit_test(refuses_what_is_no_message),
		cmocka_unit_test(refuses_what_is_out_of_place),
		cmocka_unit_test(refuses_numbers_that_are_none),
		cmocka_unit_test(refuses_names_and_units),
		cmocka_unit_test(refuses_what_has_no_end),
		cmocka_unit_test(says_how_a_program_ended),
		cmocka_unit_test(says_what_cannot_be_started),
		cmocka_unit_test(a_wrong_answer_is_one),
	};

	signal(SIGPIPE, SIG_IGN); /* as in the command line: not every program reads the question */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
