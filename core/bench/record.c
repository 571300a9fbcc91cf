/* SPDX-License-Identifier: MIT */
/*
 * From the repetitions of a benchmark to its record.
 *
 * An iteration of the record is a repetition of the benchmark. The record is told as it is begun
 * and measured by what Google Benchmark kept, so that its table and the record say the same.
 */
#include "core/bench/record.h"

#include "core/bench/bench.h"
#include "core/cli/run.h"
#include "core/measure/environment.h"
#include "core/measure/interference.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static struct {
	const char *folder; /* NULL: nothing is recorded */
	int argc;
	char **argv;
	struct shunt_env *env;
	/* Of the benchmark that runs. */
	struct shunt_record *record;
	const char *spec, *workload, *cost;
	struct shunt_interference before;
	int64_t started_ns;
	uint64_t started_mono_ns;
} bench;

static int64_t realtime_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void shunt_bench_begin(void)
{
	cli_begin();
}

int shunt_bench_record_into(const char *folder, bool redacted, int argc, char **argv, char *why,
	size_t bytes)
{
	struct shunt_error err = {""};
	int rc = mkdir(folder, 0777) == 0 || errno == EEXIST ? 0 : -errno;
	if (rc) {
		snprintf(why, bytes, "cannot make the folder %s: %s", folder, strerror(-rc));
		return rc;
	}
	bench.env = cli_gather();
	rc = bench.env ? shunt_env_seal(bench.env, redacted, &err) : -ENOMEM;
	if (rc)
		snprintf(why, bytes, "the manifest: %s", err.text[0] ? err.text : "no memory");
	else
		bench.folder = folder;
	bench.argc = argc;
	bench.argv = argv;
	return rc;
}

void shunt_bench_record_end(void)
{
	shunt_record_free(bench.record);
	shunt_env_free(bench.env);
	memset(&bench, 0, sizeof(bench));
}

/* ---- told by the benchmark ------------------------------------------------------------------- */

void shunt_bench_tell(const char *spec, const char *workload, const char *cost)
{
	char backend[64];
	if (!bench.folder)
		return;
	if (bench.spec != spec || bench.workload != workload) {
		bench.started_ns = realtime_ns();
		bench.started_mono_ns = shunt_clock_monotonic_ns();
		shunt_interference_read(&bench.before, "");
		shunt_interference_probe(&bench.before);
	}
	bench.spec = spec;
	bench.workload = workload;
	bench.cost = cost;
	snprintf(backend, sizeof(backend), "%.*s", (int)strcspn(spec, ":"), spec);
	shunt_record_free(bench.record);
	const struct shunt_record_identity identity = {.driver = "shunt-bench",
		.backend = backend,
		.workload = workload,
		.seed = 1,
		.arm = spec};
	if (shunt_record_new(&bench.record, &identity))
		bench.record = NULL;
}

void shunt_bench_tell_sched(const struct shunt_sched *sched)
{
	if (!bench.record)
		return;
	if (sched->backend->composition)
		sched->backend->composition(sched, shunt_record_composition, bench.record);
	if (sched->backend->counters)
		sched->backend->counters(sched, shunt_record_counter, bench.record);
}

void shunt_bench_tell_setting(const char *key, const char *value)
{
	if (bench.record)
		shunt_record_composition(bench.record, key, value);
}

void shunt_bench_tell_check(int64_t expected, int64_t actual)
{
	if (bench.record)
		shunt_record_check_int(bench.record, "operations", expected, actual);
}

void shunt_bench_tell_outcome(const struct shunt_outcome *outcome)
{
	if (bench.record)
		cli_record_what_was_run(bench.record, outcome);
}

/* ---- written when its repetitions are over --------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), by_value);
	return (values[count / 2] + values[(count - 1) / 2]) / 2;
}

static int add_results(const struct shunt_bench_result *results, size_t count)
{
	double *values = calloc(count, sizeof(*values));
	if (!values)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		shunt_record_iteration(bench.record, (uint64_t)results[i].wall_ns,
			(uint64_t)results[i].cpu_ns, results[i].made);
	for (size_t i = 0; i < count; i++)
		values[i] = results[i].wall_ns;
	shunt_record_metric_int(bench.record, "wall_ns", (uint64_t)median(values, count), "ns",
		"lower");
	for (size_t i = 0; i < count; i++)
		values[i] = results[i].wall_ns / (double)results[i].made;
	double cost_ns = median(values, count);
	shunt_record_metric(bench.record, bench.cost, cost_ns, "ns", "lower");
	shunt_record_metric(bench.record, "ops_per_s", 1e9 / cost_ns, "1/s", "higher");
	for (size_t i = 0; i < count; i++)
		values[i] = results[i].floor_ns > 0 ? results[i].ns / results[i].floor_ns : 0;
	if (results[0].floor_ns > 0)
		shunt_record_metric(bench.record, "x_floor", median(values, count), "1", "lower");
	free(values);
	return 0;
}

/* "yield/asm:switch=asm-ret" becomes yield.asm-switch-asm-ret.json. */
static void file_of(const char *name, char *path, size_t bytes)
{
	size_t at = (size_t)snprintf(path, bytes, "%s/", bench.folder);
	for (; *name && at + 6 < bytes; name++)
		path[at++] = *name == '/'                                    ? '.'
			     : isalnum((unsigned char)*name) || *name == '_' ? *name
									     : '-';
	snprintf(path + at, bytes - at, ".json");
}

static int finish(const char *failure, struct shunt_error *err)
{
	struct shunt_interference after;
	shunt_interference_read(&after, "");
	shunt_interference_probe(&after);
	shunt_record_interference(bench.record, &bench.before, &after);
	shunt_record_argv(bench.record, bench.argc, bench.argv);
	shunt_record_times(bench.record, bench.started_ns, realtime_ns(),
		shunt_clock_monotonic_ns() - bench.started_mono_ns);
	shunt_record_warmup(bench.record, 1);
	shunt_record_status(bench.record, failure ? SHUNT_RECORD_FAILED : SHUNT_RECORD_OK, "%s",
		failure ? failure : "");
	return shunt_record_finish(bench.record, bench.env, err);
}

int shunt_bench_record(const char *name, const struct shunt_bench_result *results, size_t count,
	const char *failure, char *why, size_t bytes)
{
	struct shunt_error err = {""};
	char path[4096];
	int rc = bench.record ? 0 : -ENOMEM;
	if (!rc && !failure)
		rc = add_results(results, count);
	if (!rc)
		rc = finish(failure, &err);
	file_of(name, path, sizeof(path));
	if (!rc)
		rc = shunt_record_write(bench.record, bench.env, path, false, &err);
	if (rc)
		snprintf(why, bytes, "%s: %s", path, err.text[0] ? err.text : strerror(-rc));
	shunt_record_free(bench.record);
	bench.record = NULL;
	bench.spec = NULL;
	return rc;
}
