/* SPDX-License-Identifier: MIT */
/* The fields of a record that are made from the other parts of core/measure. */
#include "core/measure/record.h"

#include "core/measure/clock.h"
#include "core/measure/hist.h"
#include "core/measure/interference.h"
#include "core/measure/json.h"
#include "core/measure/record_internal.h"
#include "core/measure/usage.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

/* The quantiles that a record carries beside the buckets, which give all others. */
static const struct {
	const char *name;
	unsigned ppm;
} quantiles[] = {
	{"p50", 500000},
	{"p90", 900000},
	{"p95", 950000},
	{"p99", 990000},
	{"p99.9", 999000},
	{"p99.99", 999900},
	{"p99.999", 999990},
};

static json_t *quantiles_json(const struct shunt_hist *hist)
{
	json_t *made = json_object();

	for (size_t i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++)
		if (shunt_hist_quantile_known(hist, quantiles[i].ppm))
			json_object_set_new(made, quantiles[i].name,
				shunt_json_uint(shunt_hist_quantile(hist, quantiles[i].ppm)));
	return made;
}

/* The bucket at *at, which moves to the next one; false: no bucket is left. */
static bool merged_bucket(const struct shunt_hist *hist, unsigned digits, unsigned *at,
	unsigned *index, uint64_t *count)
{
	uint64_t more;

	if (!shunt_hist_next(hist, at, count))
		return false;
	*index = shunt_hist_merged_index(*at, digits);
	for (++*at; shunt_hist_next(hist, at, &more); ++*at) {
		if (shunt_hist_merged_index(*at, digits) != *index)
			break;
		*count += more;
	}
	return true;
}

static json_t *buckets_json(const struct shunt_hist *hist, unsigned digits)
{
	json_t *made = json_array();
	unsigned at = 0, index;
	uint64_t count;

	while (made && merged_bucket(hist, digits, &at, &index, &count)) {
		if (json_array_append_new(made,
			    json_pack("[i, o]", (int)index, shunt_json_uint(count))) < 0) {
			json_decref(made);
			return NULL;
		}
	}
	return made;
}

void shunt_record_series(struct shunt_record *record, const char *name, const char *unit,
	const struct shunt_hist *hist, unsigned digits)
{
	json_t *series;

	if (!shunt_record_name_fits(record, name))
		return;
	if (digits < SHUNT_HIST_DIGITS_LEAST || digits > SHUNT_HIST_DIGITS) {
		shunt_record_spoil(record, -EINVAL, "a series has 2 or 3 digits, not %u", digits);
		return;
	}
	series = json_pack("{s:s, s:o, s:o, s:i, s:o, s:o}", "unit", unit, "count",
		shunt_json_uint(hist->count), "sum", shunt_json_uint128(hist->sum), "digits",
		(int)digits, "buckets", buckets_json(hist, digits), "quantiles",
		quantiles_json(hist));
	if (series && hist->count) {
		json_object_set_new(series, "min", shunt_json_uint(hist->min));
		json_object_set_new(series, "max", shunt_json_uint(hist->max));
	}
	if (series && hist->negative)
		json_object_set_new(series, "negative", shunt_json_uint(hist->negative));
	if (series && hist->over)
		json_object_set_new(series, "over", shunt_json_uint(hist->over));
	shunt_record_put(record, shunt_record_part(record, "series", json_object), name, series);
}

void shunt_record_usage(struct shunt_record *record, const struct shunt_usage *used)
{
	const struct {
		const char *name;
		uint64_t value;
	} fields[] = {
		{"cpu_ns", used->cpu_ns},
		{"user_ns", used->user_ns},
		{"system_ns", used->system_ns},
		{"voluntary_switches", used->voluntary_switches},
		{"involuntary_switches", used->involuntary_switches},
		{"minor_faults", used->minor_faults},
		{"major_faults", used->major_faults},
		{"peak_rss_bytes", used->peak_rss_bytes},
		{"rss_bytes", used->rss_bytes},
	};
	json_t *usage = json_object();

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		/* A process without a page cannot be: the size could not be read. */
		if (fields[i].value == 0 && strstr(fields[i].name, "rss"))
			continue;
		json_object_set_new(usage, fields[i].name, shunt_json_uint(fields[i].value));
	}
	shunt_record_put(record, shunt_record_json(record), "usage", usage);
}

static json_t *thread_json(const struct shunt_perf_counts *counts,
	const struct shunt_perf_thread *thread)
{
	json_t *made = json_pack("{s:o}", "name", shunt_json_text(thread->name));

	for (unsigned i = 0; made && i < SHUNT_PERF_EVENTS; i++)
		if (counts->have[i])
			json_object_set_new(made, shunt_perf_event_names[i],
				shunt_json_uint(thread->count[i]));
	if (made && !*counts->group_why[SHUNT_PERF_HARDWARE]) {
		json_object_set_new(made, "enabled_ns", shunt_json_uint(thread->enabled_ns));
		json_object_set_new(made, "running_ns", shunt_json_uint(thread->running_ns));
	}
	return made;
}

static json_t *absent_json(const struct shunt_perf_counts *counts)
{
	json_t *absent = json_object();

	for (unsigned i = 0; i < SHUNT_PERF_GROUPS; i++)
		if (*counts->group_why[i])
			json_object_set_new(absent, shunt_perf_group_names[i],
				shunt_json_text(counts->group_why[i]));
	for (unsigned i = 0; i < SHUNT_PERF_EVENTS; i++)
		if (*counts->event_why[i])
			json_object_set_new(absent, shunt_perf_event_names[i],
				shunt_json_text(counts->event_why[i]));
	return absent;
}

void shunt_record_processor(struct shunt_record *record, const struct shunt_perf_counts *counts,
	uint64_t wall_ns, uint64_t ops)
{
	json_t *processor = json_pack("{s:o}", "absent", absent_json(counts));
	json_t *threads = json_array();

	for (size_t i = 0; i < counts->thread_count; i++)
		json_array_append_new(threads, thread_json(counts, &counts->threads[i]));
	if (processor && counts->thread_count) {
		json_object_set(processor, "by_thread", threads);
		json_object_set_new(processor, "wall_ns", shunt_json_uint(wall_ns));
		json_object_set_new(processor, "ops", shunt_json_uint(ops));
	}
	json_decref(threads);
	shunt_record_put(record, shunt_record_json(record), "processor", processor);
}

void shunt_record_clock(struct shunt_record *record, const struct shunt_clock *clock)
{
	json_t *made = json_pack("{s:s, s:f, s:f}", "source", shunt_clock_name(clock),
		"read_cost_ns", clock->read_cost_ns, "monotonic_cost_ns", clock->monotonic_cost_ns);

	if (made && *clock->why)
		json_object_set_new(made, "why", shunt_json_text(clock->why));
	if (made && clock->ticks_per_s) {
		json_object_set_new(made, "ticks_per_s", shunt_json_uint(clock->ticks_per_s));
		json_object_set_new(made, "calibration_error_ppm",
			json_real(clock->calibration_error_ppm));
		json_object_set_new(made, "calibration_span_ns",
			shunt_json_uint(clock->calibration_span_ns));
	}
	shunt_record_put(record, shunt_record_json(record), "clock", made);
}

void shunt_record_probe(struct shunt_record *record, const char *name, double cost_ns,
	uint64_t events, uint64_t every, uint64_t dropped)
{
	json_t *probe;

	if (!shunt_record_name_fits(record, name))
		return;
	probe = json_pack("{s:o, s:o}", "events", shunt_json_uint(events), "dropped",
		shunt_json_uint(dropped));
	if (probe && isfinite(cost_ns) && cost_ns >= 0)
		json_object_set_new(probe, "cost_ns", json_real(cost_ns));
	if (probe && every > 1)
		json_object_set_new(probe, "every", shunt_json_uint(every));
	shunt_record_put(record, shunt_record_part(record, "probes", json_object), name, probe);
}

/* An instant as records have it: UTC, to the millisecond. */
static json_t *instant_json(int64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	char text[40];
	struct tm utc;

	gmtime_r(&seconds, &utc);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
	return json_sprintf("%s.%03dZ", text, (int)(realtime_ns / 1000000 % 1000));
}

void shunt_record_times(struct shunt_record *record, int64_t started_ns, int64_t finished_ns,
	uint64_t elapsed_ns)
{
	shunt_record_put(record, shunt_record_json(record), "times",
		json_pack("{s:o, s:o, s:o}", "started", instant_json(started_ns), "finished",
			instant_json(finished_ns), "elapsed_ns", shunt_json_uint(elapsed_ns)));
}

static json_t *interference_json(const struct shunt_interference *at)
{
	const struct {
		unsigned bit;
		const char *name;
		double value;
	} reals[] = {
		{SHUNT_INTERFERENCE_LOAD1, "load1", at->load1},
		{SHUNT_INTERFERENCE_PROBE, "throughput_ns", at->throughput_ns},
		{SHUNT_INTERFERENCE_PROBE, "latency_ns", at->latency_ns},
	};
	const struct {
		unsigned bit;
		const char *name;
		uint64_t value;
	} fields[] = {
		{SHUNT_INTERFERENCE_PROCS_RUNNING, "procs_running", at->procs_running},
		{SHUNT_INTERFERENCE_STEAL_TICKS, "steal_ticks", at->steal_ticks},
		{SHUNT_INTERFERENCE_CONTEXT_SWITCHES, "context_switches", at->context_switches},
		{SHUNT_INTERFERENCE_FREQ_KHZ, "freq_khz_min", at->freq_khz_min},
		{SHUNT_INTERFERENCE_FREQ_KHZ, "freq_khz_max", at->freq_khz_max},
		{SHUNT_INTERFERENCE_THROTTLED_NS, "throttled_ns", at->throttled_ns},
		{SHUNT_INTERFERENCE_MEMORY_AVAILABLE, "memory_available_bytes",
			at->memory_available_bytes},
	};
	json_t *made = json_object();

	for (size_t i = 0; i < sizeof(reals) / sizeof(*reals); i++)
		if (at->have & reals[i].bit)
			json_object_set_new(made, reals[i].name, json_real(reals[i].value));
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (at->have & fields[i].bit)
			json_object_set_new(made, fields[i].name, shunt_json_uint(fields[i].value));
	return made;
}

void shunt_record_interference(struct shunt_record *record, const struct shunt_interference *before,
	const struct shunt_interference *after)
{
	shunt_record_put(record, shunt_record_json(record), "interference",
		json_pack("{s:o, s:o}", "before", interference_json(before), "after",
			interference_json(after)));
}
