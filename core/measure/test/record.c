/* SPDX-License-Identifier: MIT */
/*
 * If this passes, a record holds what was put in, and none is written that would mislead.
 *
 * With SHUNT_KEEP=FOLDER it leaves its records there, for record_schema.py to judge.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/measure/clock.h"
#include "core/measure/hist.h"
#include "core/measure/interference.h"
#include "core/measure/record.h"
#include "core/measure/usage.h"
#include "core/param.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[4096], path[4200];
static struct shunt_error err;
static struct shunt_env *env;

static int make_all(void **state)
{
	const char *keep = getenv("SHUNT_KEEP");

	(void)state;
	snprintf(folder, sizeof(folder), "%s", keep ? keep : "/tmp/shunt-record-XXXXXX");
	if (!keep && !mkdtemp(folder))
		return -1;
	if (shunt_env_new(&env) < 0)
		return -1;
	shunt_env_gather(env, "");
	return shunt_env_seal(env, false, &err);
}

static int remove_all(void **state)
{
	char command[4200];

	(void)state;
	shunt_env_free(env);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return getenv("SHUNT_KEEP") ? 0 : system(command);
}

static void *start(uint64_t repetition)
{
	static char *const argv[] = {"shunt", "run", "asm", "yield",
		"input=/home/jo/x \xff\x1b.bin"};
	struct shunt_record *record = NULL;
	const struct shunt_record_identity identity = {
		.backend = "asm",
		.workload = "yield",
		.seed = 18446744073709551615u,
		.build_id = "0123456789abcdef",
		.block = "b0007",
		.repetition = repetition,
	};

	assert_int_equal(shunt_record_new(&record, &identity), 0);
	shunt_record_composition(record, "switch", "asm");
	shunt_record_composition(record, "stack.size", "65536");
	shunt_record_param(record, "tasks", "2");
	shunt_record_param(record, "input", "/home/jo/data.bin");
	shunt_record_argv(record, 5, argv);
	shunt_record_times(record, 1795363200123456789, 1795363201000000000, 876543211);
	return record;
}

/* All that a good run has. */
static struct shunt_record *complete(uint64_t repetition)
{
	struct shunt_record *record = start(repetition);
	struct shunt_interference now;
	struct shunt_usage used;
	struct shunt_clock clock;
	struct shunt_hist hist;
	struct shunt_perf_thread threads[] = {{"main", 900, 450, {12, 0, 3, 4, 5, 6, 7, 8}},
		{"worker1", 100, 50, {UINT64_MAX, 2, 3, 4, 5, 6, 7, 8}}};
	struct shunt_perf_counts counts = {.threads = threads,
		.thread_count = 2,
		.have = {true, true, true, false, true, true, true, true},
		.event_why = {[3] = "ENOENT: no such counter"}};

	shunt_record_status(record, SHUNT_RECORD_OK, "%s", "");
	shunt_record_metric_int(record, "wall_ns", 123456, "ns", "lower");
	shunt_record_metric(record, "ns_per_switch", 5.91, "ns", "lower");
	shunt_record_metric(record, "ops_per_s", 1.6e8, "1/s", "higher");
	shunt_record_metric(record, "ratio", NAN, "1", "none");
	shunt_record_iteration(record, 123456, 123400, 10000000);
	shunt_record_cold(record, 150000);
	shunt_record_warmup(record, 1);
	shunt_record_counter(record, "switches", UINT64_MAX);
	shunt_record_check_int(record, "switches", 10000000, 10000000);
	shunt_record_fact(record, "stack.guard", "madvise", "probed");
	shunt_record_caveat(record, "%d of 2 CPUs were busy", 1);
	shunt_record_probe(record, "sched_delay", 23.5, 1000, 100, 0);
	shunt_usage_read(&used);
	shunt_record_usage(record, &used);
	shunt_record_processor(record, &counts, 123456, 1000);
	shunt_clock_init(&clock, true, 1000000);
	shunt_record_clock(record, &clock);
	shunt_interference_read(&now, "");
	shunt_interference_probe(&now);
	shunt_record_interference(record, &now, &now);
	assert_int_equal(shunt_hist_init(&hist), 0);
	shunt_record_series(record, "nothing", "ns", &hist, 3);
	for (int64_t i = 0; i < 4000; i++)
		shunt_hist_record(&hist, i * i * 997);
	shunt_hist_record(&hist, INT64_MAX);
	shunt_hist_record(&hist, -5);
	shunt_record_series(record, "lateness", "ns", &hist, 3);
	shunt_record_series(record, "lateness.coarse", "ns", &hist, 2);
	shunt_hist_fini(&hist);
	return record;
}

static json_t *get(const struct shunt_record *record, const char *a, const char *b)
{
	json_t *part = json_object_get(shunt_record_json(record), a);

	return b ? json_object_get(part, b) : part;
}

static void write_as(struct shunt_record *record, const char *name)
{
	snprintf(path, sizeof(path), "%s/%s.json", folder, name);
	if (shunt_record_write(record, env, path, false, &err) < 0)
		fail_msg("%s", err.text);
}

static void a_good_run_is_written_with_its_manifest(void **state)
{
	struct shunt_record *record = complete(3);
	char manifest[8400];

	(void)state;
	assert_int_equal(shunt_record_finish(record, env, &err), 0);
	assert_int_equal(strlen(shunt_record_run_id(record)), 16);
	write_as(record, "ok");
	snprintf(manifest, sizeof(manifest), "%s/env/%s.json", folder, shunt_env_id(env));
	assert_int_equal(access(manifest, R_OK), 0);

	json_t *back = json_load_file(path, 0, NULL);
	assert_int_equal(json_object_del(back, "sha256"), 0);
	assert_true(json_equal(back, shunt_record_json(record)));
	json_decref(back);
	assert_string_equal(json_string_value(get(record, "identity", "seed")),
		"18446744073709551615");
	assert_string_equal(json_string_value(get(record, "counters", "switches")),
		"18446744073709551615");
	assert_float_equal(json_number_value(
				   json_object_get(get(record, "metrics", "ns_per_switch"),
					   "value")),
		5.91, 0);
	assert_string_equal(json_string_value(get(record, "times", "started")),
		"2026-11-22T16:00:00.123Z");
	assert_int_equal(json_integer_value(
				 json_object_get(get(record, "series", "lateness"), "negative")),
		1);
	shunt_record_free(record);
}

static void nothing_that_is_not_finite_gets_in(void **state)
{
	struct shunt_record *record = complete(1);

	(void)state;
	shunt_record_metric(record, "endless", INFINITY, "1", "lower");
	assert_null(get(record, "metrics", "ratio"));
	assert_null(get(record, "metrics", "endless"));
	assert_int_equal(json_array_size(get(record, "caveats", NULL)), 3);
	shunt_record_free(record);
}

static void quantiles_without_samples_are_absent(void **state)
{
	struct shunt_record *record = complete(1);
	json_t *quantiles = json_object_get(get(record, "series", "lateness"), "quantiles");

	(void)state;
	assert_non_null(json_object_get(quantiles, "p99.9")); /* 4,002 samples */
	assert_null(json_object_get(quantiles, "p99.99"));
	assert_int_equal(json_object_size(
				 json_object_get(get(record, "series", "nothing"), "quantiles")),
		0);
	shunt_record_free(record);
}

static void fewer_digits_change_nothing_but_the_buckets(void **state)
{
	struct shunt_record *record = complete(1);
	json_t *fine = get(record, "series", "lateness"),
	       *coarse = get(record, "series", "lateness.coarse");
	json_t *fine_buckets = json_object_get(fine, "buckets"),
	       *coarse_buckets = json_object_get(coarse, "buckets");

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(fine, "digits")), 3);
	assert_int_equal(json_integer_value(json_object_get(coarse, "digits")), 2);
	assert_true(json_array_size(coarse_buckets) * 3 < json_array_size(fine_buckets));
	/* The counts add up to those of the fine buckets within, in order and none left over. */
	size_t at = 0;

	for (size_t i = 0; i < json_array_size(coarse_buckets); i++) {
		json_t *bucket = json_array_get(coarse_buckets, i), *within;
		json_int_t left = json_integer_value(json_array_get(bucket, 1));

		while (left > 0 && (within = json_array_get(fine_buckets, at++))) {
			json_int_t index = json_integer_value(json_array_get(within, 0));

			assert_int_equal(shunt_hist_merged_index((unsigned)index, 2),
				json_integer_value(json_array_get(bucket, 0)));
			left -= json_integer_value(json_array_get(within, 1));
		}
		assert_int_equal(left, 0);
	}
	assert_int_equal(at, json_array_size(fine_buckets));
	json_object_del(fine, "digits"), json_object_del(fine, "buckets");
	json_object_del(coarse, "digits"), json_object_del(coarse, "buckets");
	assert_true(json_equal(fine, coarse));
	shunt_record_free(record);
}

static void other_digits_are_refused(void **state)
{
	static const unsigned others[] = {0, 1, 4};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		struct shunt_record *record = complete(1);
		struct shunt_hist hist;

		assert_int_equal(shunt_hist_init(&hist), 0);
		shunt_record_series(record, "lateness", "ns", &hist, others[i]);
		assert_int_equal(shunt_record_finish(record, env, &err), -EINVAL);
		assert_non_null(strstr(err.text, "2 or 3 digits"));
		shunt_hist_fini(&hist);
		shunt_record_free(record);
	}
}

static void every_end_of_a_run_has_a_record(void **state)
{
	static const struct {
		enum shunt_record_status status;
		const char *name, *reason;
	} ends[] = {
		{SHUNT_RECORD_FAILED, "failed", "deadlock: tasks a, b"},
		{SHUNT_RECORD_TIMEOUT, "timeout", "not done after 10 s"},
		{SHUNT_RECORD_SKIPPED, "skipped", "io_uring is disabled on this machine"},
		{SHUNT_RECORD_INTERRUPTED, "interrupted", "SIGINT"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		struct shunt_record *record = start(i);

		assert_string_equal(shunt_record_status_name(ends[i].status), ends[i].name);
		shunt_record_status(record, ends[i].status, "%s", ends[i].reason);
		shunt_record_metric_int(record, "wall_ns", 1, "ns", "lower");
		assert_int_equal(shunt_record_finish(record, env, &err), 0);
		assert_null(get(record, "metrics", NULL));
		assert_string_equal(json_string_value(get(record, "reason", NULL)), ends[i].reason);
		write_as(record, ends[i].name);
		shunt_record_free(record);
	}
	struct shunt_record *record = start(9);
	assert_int_equal(shunt_record_finish(record, env, &err), 0);
	assert_string_equal(json_string_value(get(record, "status", NULL)), "failed");
	write_as(record, "untold");
	shunt_record_free(record);
}

static void refused(struct shunt_record *record, const char *because)
{
	assert_int_equal(shunt_record_finish(record, env, &err), -EINVAL);
	if (!strstr(err.text, because))
		fail_msg("%s: %s", because, err.text);
	snprintf(path, sizeof(path), "%s/refused.json", folder);
	assert_int_equal(shunt_record_write(record, env, path, false, &err), -EINVAL);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void a_wrong_answer_cannot_be_ok(void **state)
{
	struct shunt_record *record = complete(1);

	(void)state;
	shunt_record_check_int(record, "sum", 4950, 4951);
	refused(record, "a check failed");
	shunt_record_status(record, SHUNT_RECORD_FAILED, "check sum: 4951 is not 4950");
	assert_int_equal(shunt_record_finish(record, env, &err), 0);
	write_as(record, "wrong");
	shunt_record_free(record);
}

static void an_ok_run_must_be_whole(void **state)
{
	struct shunt_record *record = start(1);

	(void)state;
	shunt_record_status(record, SHUNT_RECORD_OK, "%s", "");
	refused(record, "wall_ns");
	shunt_record_metric_int(record, "wall_ns", 1, "ns", "lower");
	refused(record, "no iteration");
	shunt_record_iteration(record, 1, 1, 1);
	refused(record, "not checked");
	shunt_record_check_int(record, "sum", 1, 1);
	refused(record, "machine's state");
	shunt_record_free(record);
}

static void a_bad_name_spoils_the_record(void **state)
{
	struct shunt_record *record = complete(1);

	(void)state;
	shunt_record_counter(record, "Bad Name", 1);
	shunt_record_counter(record, "", 1);
	refused(record, "'Bad Name'");
	shunt_record_free(record);
}

static void the_run_id_is_the_identity_of_the_run(void **state)
{
	struct shunt_record *same = complete(1), *again = complete(1), *other = complete(2);
	struct shunt_record *spec = complete(1);

	(void)state;
	shunt_record_composition(spec, "stack.size", "131072");
	shunt_record_counter(again, "extra", 1);
	assert_int_equal(shunt_record_finish(same, env, &err), 0);
	assert_int_equal(shunt_record_finish(again, env, &err), 0);
	assert_int_equal(shunt_record_finish(other, env, &err), 0);
	assert_int_equal(shunt_record_finish(spec, env, &err), 0);
	assert_string_equal(shunt_record_run_id(same), shunt_record_run_id(again));
	assert_string_not_equal(shunt_record_run_id(same), shunt_record_run_id(other));
	assert_string_not_equal(shunt_record_run_id(same), shunt_record_run_id(spec));
	shunt_record_free(same);
	shunt_record_free(again);
	shunt_record_free(other);
	shunt_record_free(spec);
}

static void a_record_is_never_replaced_unasked(void **state)
{
	struct shunt_record *record = start(20);

	(void)state;
	assert_int_equal(shunt_record_finish(record, env, &err), 0);
	write_as(record, "twice");
	assert_int_equal(shunt_record_write(record, env, path, false, &err), -EEXIST);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(shunt_record_write(record, env, path, true, &err), 0);
	shunt_record_free(record);
}

static void what_cannot_be_written_says_why(void **state)
{
	struct shunt_record *record = start(1);

	(void)state;
	assert_int_equal(shunt_record_finish(record, env, &err), 0);
	assert_int_equal(shunt_record_write(record, env, "/dev/full", false, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "/dev/full"));
	assert_int_not_equal(access("/dev/env", F_OK), 0);
	assert_int_equal(shunt_record_write(record, env, folder, false, &err), -EISDIR);
	snprintf(path, sizeof(path), "%s/no/such/r.json", folder);
	assert_int_equal(shunt_record_write(record, env, path, false, &err), -ENOENT);
	assert_non_null(strstr(err.text, "mkdir -p"));
	snprintf(path, sizeof(path), "%s/no", folder);
	assert_int_not_equal(access(path, F_OK), 0);
	shunt_record_free(record);
}

static void a_redacted_record_names_nobody(void **state)
{
	struct shunt_record *record = complete(4), *plain = complete(4);
	struct shunt_env *hidden = NULL;

	(void)state;
	assert_int_equal(shunt_env_new(&hidden), 0);
	shunt_env_gather(hidden, "");
	assert_int_equal(shunt_env_seal(hidden, true, &err), 0);
	assert_int_equal(shunt_record_finish(record, hidden, &err), 0);
	assert_int_equal(shunt_record_finish(plain, env, &err), 0);
	char *text = shunt_record_text(record);
	assert_null(strstr(text, "/home"));
	free(text);
	assert_string_equal(json_string_value(
				    json_object_get(get(record, "identity", "params"), "input")),
		"<path>");
	assert_string_not_equal(shunt_record_run_id(record), shunt_record_run_id(plain));
	snprintf(path, sizeof(path), "%s/redacted.json", folder);
	assert_int_equal(shunt_record_write(record, hidden, path, false, &err), 0);
	shunt_record_free(record);
	shunt_record_free(plain);
	shunt_env_free(hidden);
}

/* As the command line does it: a handler sets a flag, and the record is written after it. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	interrupted = number;
}

static void an_interrupted_run_still_writes(void **state)
{
	struct shunt_record *record = complete(30);
	struct sigaction action = {.sa_handler = on_interrupt}, before;

	(void)state;
	sigaction(SIGINT, &action, &before);
	raise(SIGINT);
	sigaction(SIGINT, &before, NULL);
	assert_int_equal(interrupted, SIGINT);
	shunt_record_status(record, SHUNT_RECORD_INTERRUPTED, "%s", strsignal(interrupted));
	assert_int_equal(shunt_record_finish(record, env, &err), 0);
	write_as(record, "half");
	assert_null(get(record, "metrics", NULL));
	assert_int_equal(json_array_size(get(record, "iterations", NULL)), 1);
	shunt_record_free(record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_run_is_written_with_its_manifest),
		cmocka_unit_test(nothing_that_is_not_finite_gets_in),
		cmocka_unit_test(quantiles_without_samples_are_absent),
		cmocka_unit_test(fewer_digits_change_nothing_but_the_buckets),
		cmocka_unit_test(other_digits_are_refused),
		cmocka_unit_test(every_end_of_a_run_has_a_record),
		cmocka_unit_test(a_wrong_answer_cannot_be_ok),
		cmocka_unit_test(an_ok_run_must_be_whole),
		cmocka_unit_test(a_bad_name_spoils_the_record),
		cmocka_unit_test(the_run_id_is_the_identity_of_the_run),
		cmocka_unit_test(a_record_is_never_replaced_unasked),
		cmocka_unit_test(what_cannot_be_written_says_why),
		cmocka_unit_test(a_redacted_record_names_nobody),
		cmocka_unit_test(an_interrupted_run_still_writes),
	};

	return cmocka_run_group_tests(tests, make_all, remove_all);
}
