// SPDX-License-Identifier: MIT
// shunt-bench: Google Benchmark's own flags and output around benchmarks written in C (bench.h).
//
// One KeepRunningBatch of all iterations a repetition: the C side makes them in one call and tells
// the time they took, so that nothing of the library is inside it and no task ever touches its state.
// Only this thread does. A ratio to the floor, taken in the same call, is a counter of the result.
// What Google Benchmark takes lightly ends with an exit status here: a filter that matches nothing,
// a flag it does not know, a benchmark that failed.
#include "core/bench/bench.h"

#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

static bool any_failed = false;

static void run_one(benchmark::State &state, shunt_bench_fn *fn, const void *arg)
{
	const uint64_t operations = state.max_iterations;
	shunt_bench_result result = {0, 0};
	char why[640];
	const int rc = shunt_bench_run(fn, arg, operations, &result, why, sizeof(why));
	if (rc != 0) {
		any_failed = true;
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
	benchmark::RegisterBenchmark(name, [fn, arg](benchmark::State &state) {
		run_one(state, fn, arg);
	})->UseManualTime()->Unit(benchmark::kNanosecond);
}

int main(int argc, char **argv)
{
	// Initialize keeps pointers into argv[0]: give it a copy that lives as long as the process.
	static std::string name = argv[0];
	std::vector<char *> arguments(argv, argv + argc);
	arguments[0] = &name[0];
	arguments.push_back(nullptr);
	int count = argc;
	for (int i = 1; i < argc; i++)
		if (std::strcmp(argv[i], "--help") == 0)
			std::printf("shunt-bench: the primitives of the task API, and every workload's "
				"operation at a small\nsize, under Google Benchmark. Names are "
				"PRIMITIVE/SPEC and workload/NAME/BACKEND; x_floor is the\nratio to a "
				"bare switch or a throw-away scheduler on the same switch, taken in "
				"the same call.\n\n  shunt-bench --benchmark_filter='^yield/'\n"
				"  shunt-bench --benchmark_list_tests\n\nGoogle Benchmark's own "
				"flags:\n");
	shunt_bench_add_primitives();
	shunt_bench_add_workloads();
	benchmark::Initialize(&count, arguments.data());
	if (benchmark::ReportUnrecognizedArguments(count, arguments.data()))
		return 2;
	if (benchmark::RunSpecifiedBenchmarks() == 0) {
		std::fprintf(stderr, "shunt-bench: the filter matches no benchmark; "
			"--benchmark_list_tests lists them\n");
		return 2;
	}
	benchmark::Shutdown();
	return any_failed ? 1 : 0;
}
