// SPDX-License-Identifier: MIT
// shunt-bench: Google Benchmark's own flags and output around benchmarks written in C (bench.h).
//
// One KeepRunningBatch of all iterations a repetition: the C side makes them in one call and tells
// the time they took, so that nothing of the library is inside it and no task ever touches its state.
// Only this thread does. A ratio to the floor, taken in the same call, is a counter of the result.
// What Google Benchmark takes lightly ends with an exit status here: a filter that matches nothing,
// a flag it does not know, a benchmark that failed. With --shunt_record a reporter in front of the
// library's own writes a record for each benchmark as soon as its repetitions are over.
#include "core/bench/bench.h"

#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

using Results = std::vector<shunt_bench_result>;

static bool any_failed = false;
static Results last_results; // of the benchmark that runs, its attempts to find how often included
static std::string last_name;

static void run_one(benchmark::State &state, const char *name, shunt_bench_fn *fn, const void *arg)
{
	const uint64_t operations = state.max_iterations;
	shunt_bench_result result = {0, 0, 0, 0, 0};
	char why[640];
	if (last_name != name) {
		last_name = name;
		last_results.clear();
	}
	const int rc = shunt_bench_run(fn, arg, operations, &result, why, sizeof(why));
	if (rc != 0) {
		any_failed = true;
		state.SkipWithError(why);
		while (state.KeepRunningBatch(state.max_iterations)) {
		}
		return;
	}
	last_results.push_back(result);
	while (state.KeepRunningBatch(state.max_iterations))
		state.SetIterationTime(result.ns * 1e-9);
	if (result.floor_ns > 0) {
		state.counters["floor_ns"] = result.floor_ns / static_cast<double>(operations);
		state.counters["x_floor"] = result.ns / result.floor_ns;
	}
}

extern "C" void shunt_bench_add(const char *name, shunt_bench_fn *fn, const void *arg)
{
	benchmark::RegisterBenchmark(name, [name, fn, arg](benchmark::State &state) {
		run_one(state, name, fn, arg);
	})->UseManualTime()->Unit(benchmark::kNanosecond);
}

// ---- records -------------------------------------------------------------------------------------

// Hands everything on to the reporter that --benchmark_format asks for, and writes records.
class Recorder : public benchmark::BenchmarkReporter {
public:
	explicit Recorder(const std::string &format)
	{
		const bool plain = !isatty(1) || std::getenv("NO_COLOR");
		if (format == "json")
			shown.reset(new benchmark::JSONReporter);
		else
			shown.reset(new benchmark::ConsoleReporter(plain ?
				benchmark::ConsoleReporter::OO_None :
				benchmark::ConsoleReporter::OO_Color));
	}

	bool ReportContext(const Context &context) override
	{
		return shown->ReportContext(context);
	}

	// The repetitions of one benchmark, or what the library computes over them.
	void ReportRuns(const std::vector<Run> &runs) override
	{
		shown->ReportRuns(runs);
		if (runs.empty() || runs[0].run_type != Run::RT_Iteration)
			return;
		const char *failure = nullptr;
		for (const Run &run : runs)
			if (run.error_occurred)
				failure = run.error_message.c_str();
		// The last call of each repetition is the one that counts, and the calls that found
		// out how often come before the first of them.
		const size_t count = runs.size() < last_results.size() ? runs.size() :
									 last_results.size();
		char why[640];
		if (shunt_bench_record(last_name.c_str(),
			    last_results.data() + (last_results.size() - count), count, failure,
			    why, sizeof(why)) == 0)
			return;
		lost = true;
		std::fprintf(stderr, "shunt-bench: no record: %s\n", why);
	}

	void Finalize() override
	{
		shown->Finalize();
	}

	bool lost = false;

private:
	std::unique_ptr<benchmark::BenchmarkReporter> shown;
};

// ---- the command line ----------------------------------------------------------------------------

// The value of --name=value, taken out of the arguments if it is ours.
static const char *take(std::vector<char *> &arguments, const char *name, bool ours)
{
	const size_t length = std::strlen(name);
	for (size_t i = 1; i + 1 < arguments.size(); i++) {
		if (std::strncmp(arguments[i], name, length) != 0 ||
			(arguments[i][length] != '=' && arguments[i][length] != '\0'))
			continue;
		const char *value = arguments[i] + length + (arguments[i][length] == '=');
		if (ours)
			arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(i));
		return value;
	}
	return nullptr;
}

static void print_help()
{
	std::printf("shunt-bench: the primitives of the task API, and every workload's operation at "
		"a small\nsize, under Google Benchmark. Names are PRIMITIVE/SPEC and "
		"workload/NAME/BACKEND; x_floor is the\nratio to a bare switch or a throw-away "
		"scheduler on the same switch, taken in the same call.\n\n"
		"  shunt-bench --benchmark_filter='^yield/'\n"
		"  shunt-bench --benchmark_list_tests\n"
		"  shunt-bench --benchmark_repetitions=9 --shunt_record=FOLDER\n\n"
		"  --shunt_record=FOLDER   a record (shunt.run/1) for each benchmark, as `shunt run "
		"--record`\n"
		"                          writes one; its iterations are the repetitions\n"
		"  --shunt_redact          leave host names, user names and paths out of them\n\n"
		"Google Benchmark's own flags:\n");
}

static int usage(const char *what)
{
	std::fprintf(stderr, "shunt-bench: %s\n", what);
	return 2;
}

static int run_all(const char *folder, const std::string &format)
{
	std::unique_ptr<Recorder> recorder(folder ? new Recorder(format) : nullptr);
	const size_t count = recorder ? benchmark::RunSpecifiedBenchmarks(recorder.get()) :
					benchmark::RunSpecifiedBenchmarks();
	if (count == 0)
		return usage("the filter matches no benchmark; --benchmark_list_tests lists them");
	benchmark::Shutdown();
	return any_failed ? 1 : recorder && recorder->lost ? 3 : 0;
}

int main(int argc, char **argv)
{
	// Initialize keeps pointers into argv[0]: give it a copy that lives as long as the process.
	static std::string name = argv[0];
	std::vector<char *> arguments(argv, argv + argc);
	arguments[0] = &name[0];
	arguments.push_back(nullptr);
	for (int i = 1; i < argc; i++)
		if (std::strcmp(argv[i], "--help") == 0)
			print_help();
	const char *folder = take(arguments, "--shunt_record", true);
	const bool redacted = take(arguments, "--shunt_redact", true) != nullptr;
	const char *given = take(arguments, "--benchmark_format", false);
	const std::string format = given ? given : "console";
	int count = static_cast<int>(arguments.size()) - 1;
	char why[640];
	if (folder && !*folder)
		return usage("--shunt_record wants a folder: --shunt_record=FOLDER");
	if (folder && format != "console" && format != "json")
		return usage("--shunt_record goes with --benchmark_format=console or json");
	shunt_bench_add_primitives();
	shunt_bench_add_workloads();
	benchmark::Initialize(&count, arguments.data());
	if (benchmark::ReportUnrecognizedArguments(count, arguments.data()))
		return 2;
	if (folder && shunt_bench_record_into(folder, redacted, argc, argv, why, sizeof(why)) != 0)
		return usage(why);
	const int rc = run_all(folder, format);
	shunt_bench_record_end();
	return rc;
}
