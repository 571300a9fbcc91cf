// SPDX-License-Identifier: MIT
// shunt-bench: Google Benchmark's own flags and output around benchmarks written in C (bench.h).
//
// One KeepRunningBatch of all iterations a repetition: the C side makes them in one call and tells
// the time they took, so that nothing of the library is inside it and no task ever touches its
// state. Only this thread does. A ratio to the floor, taken in the same call, is a counter of the
// result. The library can be given a wall time but no processor time: reporters in front of its own
// put in what the C side measured. What Google Benchmark takes lightly ends with an exit status
// here: a filter that matches nothing, a flag it does not know, a benchmark that failed, output
// that could not be written. With --shunt_record a record is written for each benchmark as soon as
// its repetitions are over.
#include "core/bench/bench.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

// What the C side told of one benchmark.
struct Told {
	std::vector<shunt_bench_result> results; // its attempts to find how often included
	std::string failure;                     // of one that failed; empty: none did
	bool recorded = false;
};

static std::map<std::string, Told> told; // by name, with what the library appends to it
static bool any_failed = false, lost = false;

static void run_one(benchmark::State &state, const char *name, shunt_bench_fn *fn, const void *arg)
{
	const uint64_t operations = state.max_iterations;
	shunt_bench_result result = {0, 0, 0, 0, 0};
	char why[640];
	const int rc = shunt_bench_run(fn, arg, operations, &result, why, sizeof(why));
	Told &one = told[name];
	one.results.push_back(result);
	if (rc != 0) {
		any_failed = true;
		one.failure = why;
		state.SkipWithError(why);
		while (state.KeepRunningBatch(state.max_iterations)) {
		}
		return;
	}
	while (state.KeepRunningBatch(state.max_iterations))
		state.SetIterationTime(result.ns * 1e-9);
	if (result.floor_ns > 0) {
		state.counters["floor_ns"] = result.floor_ns / static_cast<double>(operations);
		state.counters["x_floor"] = result.ns / result.floor_ns;
	}
}

extern "C" void shunt_bench_add(const char *name, shunt_bench_fn *fn, const void *arg)
{
	benchmark::RegisterBenchmark(name,
		[name, fn, arg](benchmark::State &state) { run_one(state, name, fn, arg); })
		->UseManualTime()
		->Unit(benchmark::kNanosecond);
}

// ---- reporters ----------------------------------------------------------------------------------

using Run = benchmark::BenchmarkReporter::Run;

// The repetitions of a benchmark: the last call of each is the one that counts, and the calls that
// found out how often come before the first of them.
static std::vector<shunt_bench_result> repetitions(const Told &one, int64_t count)
{
	const auto most = static_cast<int64_t>(one.results.size());
	return {one.results.end() - std::min(count, most), one.results.end()};
}

// The statistic that Google Benchmark makes of its own times, of other ones.
static double statistic(const std::string &name, std::vector<double> values)
{
	const double count = static_cast<double>(values.size());
	const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
	double squares = 0;
	for (const double value : values)
		squares += (value - mean) * (value - mean);
	const double deviation = values.size() > 1 ? std::sqrt(squares / (count - 1)) : 0;
	std::sort(values.begin(), values.end());
	const size_t half = values.size() / 2;
	return name == "stddev" ? deviation
	       : name == "cv"   ? deviation / mean
	       : name == "mean" ? mean
				: (values[half] + values[(values.size() - 1) / 2]) / 2;
}

// In seconds, as the library keeps it: of all iterations, or of a ratio as it is.
static void put_cpu_time(Run &run, const Told &one)
{
	const bool single = run.run_type == Run::RT_Iteration;
	auto kept = repetitions(one, run.repetitions);
	if (single)
		kept = {kept.at(static_cast<size_t>(run.repetition_index))};
	std::vector<double> each;
	for (const shunt_bench_result &result : kept)
		if (result.made != 0)
			each.push_back(result.cpu_ns * 1e-9 / static_cast<double>(result.made));
	if (each.empty()) // it failed
		return;
	run.cpu_accumulated_time = statistic(single ? "mean" : run.aggregate_name, each);
	if (run.aggregate_unit == benchmark::kTime)
		run.cpu_accumulated_time *= static_cast<double>(run.iterations);
}

// Hands everything on to one of the library's own, with the processor time put in, and notices
// output that could not be written.
class Exact : public benchmark::BenchmarkReporter
{
      public:
	explicit Exact(benchmark::BenchmarkReporter *reporter) : shown(reporter)
	{
	}

	bool ReportContext(const Context &context) override
	{
		shown->SetOutputStream(&GetOutputStream());
		shown->SetErrorStream(&GetErrorStream());
		return shown->ReportContext(context);
	}

	void ReportRuns(const std::vector<Run> &runs) override
	{
		std::vector<Run> exact = runs;
		for (Run &run : exact)
			put_cpu_time(run, told[run.run_name.function_name]);
		shown->ReportRuns(exact);
	}

	void Finalize() override
	{
		shown->Finalize();
		if (GetOutputStream().flush())
			return;
		lost = true;
		std::fprintf(stderr, "shunt-bench: the results could not be written\n");
	}

      private:
	std::unique_ptr<benchmark::BenchmarkReporter> shown;
};

// The same for standard output, with a record of each benchmark.
class Recorder : public Exact
{
      public:
	Recorder() : Exact(benchmark::CreateDefaultDisplayReporter())
	{
	}

	// The repetitions of one benchmark, or what the library computes over them: which of the
	// two comes first, and whether both come, is a matter of its flags.
	void ReportRuns(const std::vector<Run> &runs) override
	{
		Exact::ReportRuns(runs);
		if (runs.empty())
			return;
		const std::string &name = runs[0].run_name.function_name;
		Told &one = told[name];
		if (one.recorded)
			return;
		one.recorded = true;
		const auto kept = repetitions(one, runs[0].repetitions);
		char why[640];
		if (shunt_bench_record(name.c_str(), kept.data(), kept.size(),
			    one.failure.empty() ? nullptr : one.failure.c_str(), why,
			    sizeof(why)) == 0)
			return;
		lost = true;
		std::fprintf(stderr, "shunt-bench: no record: %s\n", why);
	}
};

// ---- the command line ---------------------------------------------------------------------------

// The value of --name=value, or null.
static const char *value_of(const char *argument, const char *name)
{
	const size_t length = std::strlen(name);
	if (std::strncmp(argument, name, length) != 0 ||
		(argument[length] != '=' && argument[length] != '\0'))
		return nullptr;
	return argument + length + (argument[length] == '=');
}

// The same of a flag of ours, taken out of the arguments.
static const char *take(std::vector<char *> &arguments, const char *name)
{
	for (size_t i = 1; i + 1 < arguments.size(); i++)
		if (const char *value = value_of(arguments[i], name)) {
			arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(i));
			return value;
		}
	return nullptr;
}

// The value of a flag of the library's, which also takes it from the environment.
static std::string flag(const std::vector<char *> &arguments, const char *name,
	const char *variable)
{
	const char *value = std::getenv(variable);
	for (size_t i = 1; i + 1 < arguments.size(); i++)
		if (const char *given = value_of(arguments[i], name))
			value = given;
	return value ? value : "";
}

// False: it could not be written.
static bool print_help()
{
	std::printf(
		"shunt-bench: the primitives of the task API, and every workload's operation at "
		"a small\nsize, under Google Benchmark. Names are PRIMITIVE/SPEC and "
		"workload/NAME[:SETTING]/BACKEND;\nx_floor is the ratio to a bare switch, to a "
		"throw-away scheduler on the same switch, or to\nthe same work without tasks, "
		"taken in the same call.\n\n"
		"  shunt-bench --benchmark_filter='^yield/'\n"
		"  shunt-bench --benchmark_list_tests\n"
		"  shunt-bench --benchmark_repetitions=9 --shunt_record=FOLDER\n\n"
		"  --shunt_record=FOLDER   a record (shunt.run/1) for each benchmark, as `shunt "
		"run "
		"--record`\n"
		"                          writes one; its iterations are the repetitions\n"
		"  --shunt_redact          leave host names, user names and paths out of them\n\n"
		"Exit status: 0, or 1: a benchmark failed, 2: a flag is wrong or the filter "
		"matches "
		"nothing,\n3: a result or record could not be written.\n\n"
		"Google Benchmark's own flags:\n");
	return std::fflush(stdout) == 0;
}

static int usage(const char *what)
{
	std::fprintf(stderr, "shunt-bench: %s\n", what);
	return 2;
}

// For the file of --benchmark_out; null: there is none.
static benchmark::BenchmarkReporter *file_reporter(const std::string &file,
	const std::string &format)
{
	if (file.empty())
		return nullptr;
	if (format == "console")
		return new Exact(
			new benchmark::ConsoleReporter(benchmark::ConsoleReporter::OO_None));
	return new Exact(new benchmark::JSONReporter);
}

static int run_all(bool recorded, benchmark::BenchmarkReporter *file)
{
	const std::unique_ptr<benchmark::BenchmarkReporter> to_file(file);
	const std::unique_ptr<benchmark::BenchmarkReporter> shown(
		recorded ? new Recorder : new Exact(benchmark::CreateDefaultDisplayReporter()));
	const size_t count = benchmark::RunSpecifiedBenchmarks(shown.get(), file);
	if (count == 0)
		return usage("the filter matches no benchmark; --benchmark_list_tests lists them");
	benchmark::Shutdown();
	lost |= !std::cout.flush(); // a list has no reporter
	return any_failed ? 1 : lost ? 3 : 0;
}

int main(int argc, char **argv)
{
	shunt_bench_begin();
	// Initialize keeps pointers into argv[0]: give it a copy that lives as long as the process.
	static std::string name = argv[0];
	std::vector<char *> arguments(argv, argv + argc);
	arguments[0] = &name[0];
	arguments.push_back(nullptr);
	for (int i = 1; i < argc; i++)
		if (std::strcmp(argv[i], "--help") == 0 && !print_help())
			return 3;
	const char *folder = take(arguments, "--shunt_record");
	const bool redacted = take(arguments, "--shunt_redact") != nullptr;
	const std::string file = flag(arguments, "--benchmark_out", "BENCHMARK_OUT");
	const std::string format =
		flag(arguments, "--benchmark_out_format", "BENCHMARK_OUT_FORMAT");
	int count = static_cast<int>(arguments.size()) - 1;
	char why[640];
	if (folder && !*folder)
		return usage("--shunt_record wants a folder: --shunt_record=FOLDER");
	if (!format.empty() && format != "json" && format != "console")
		return usage("--benchmark_out_format is json or console");
	shunt_bench_add_workloads();
	shunt_bench_add_preempt();
	// Last: it loads other runtimes, and workloads are not added on these.
	shunt_bench_add_primitives();
	benchmark::Initialize(&count, arguments.data());
	if (benchmark::ReportUnrecognizedArguments(count, arguments.data()))
		return 2;
	if (folder && shunt_bench_record_into(folder, redacted, argc, argv, why, sizeof(why)) != 0)
		return usage(why);
	const int rc = run_all(folder != nullptr, file_reporter(file, format));
	shunt_bench_record_end();
	return rc;
}
