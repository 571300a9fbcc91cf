/* SPDX-License-Identifier: MIT */
/*
 * shunt explore: runs of one work in virtual time, each by another schedule, until one goes wrong.
 *
 * A policy that is `drawn` draws the schedule from a seed of its own. So a seed is a schedule, and
 * a line of `shunt run` is its replay: with --trace, or in a debugger. Each run is a child process,
 * for a schedule may crash, hang or panic; what came of it lies in memory that both share. What
 * goes wrong is tried again with fewer changes of priorities.
 */
#include "core/cli/explore.h"

#include "core/engine/slots.h"
#include "core/measure/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CLOCK_SPAN_NS 200000 /* the host's clock is nothing that a run in virtual time reads */
#define HANGS_TIMES   20     /* the time of the first one */
#define TELL_EVERY_S  1      /* on a terminal; */
#define TELL_SELDOM_S 30     /* elsewhere */

static void note(int number)
{
	cli_explore_interrupted = number;
}

static bool went_wrong(const struct verdict *verdict)
{
	return verdict->status == SHUNT_RECORD_FAILED || verdict->status == SHUNT_RECORD_TIMEOUT;
}

/* ---- the search ------------------------------------------------------------------------------ */

/* How many tasks and picks there are, so that changes are drawn among these; and how long a run
 * takes, so that a schedule that takes many times as long is known to hang. This schedule may go
 * wrong, as any other. */
static int learn(struct search *search)
{
	const struct verdict *verdict = search->verdict;
	uint64_t begin_ns = shunt_clock_monotonic_ns();
	int rc = cli_explore_try(search, (struct schedule){search->first, 1});
	uint64_t most_ns = HANGS_TIMES * (shunt_clock_monotonic_ns() - begin_ns);

	if (rc)
		return rc;
	if (verdict->status == SHUNT_RECORD_SKIPPED)
		return cli_error(false, CLI_USAGE, "nothing to explore: %s", verdict->reason);
	if (!verdict->in_virtual_time && verdict->status != SHUNT_RECORD_INTERRUPTED)
		return cli_error(false, CLI_USAGE,
			"explore needs virtual time, as the backend sim has: in real time a seed "
			"does not fix the schedule");
	if (most_ns > search->run.request.timeout_ns && !cli_given(&search->run.args, "--timeout"))
		search->run.request.timeout_ns = most_ns;
	search->tasks = verdict->tasks; /* 0: it went wrong, and nothing was counted */
	search->bounded = search->tasks && strcmp(search->strategy, "pct") == 0 &&
			  verdict->workers == 1;
	search->steps = verdict->picks ? verdict->picks : 1;
	return 0;
}

static void tell_progress(struct search *search, uint64_t done)
{
	time_t now_s = time(NULL);
	bool terminal = isatty(2);

	if (now_s - search->told_s < (terminal ? TELL_EVERY_S : TELL_SELDOM_S))
		return;
	search->told_s = now_s;
	fprintf(stderr, "%s%" PRIu64 " of %" PRIu64 " schedules%s", terminal ? "\r" : "", done,
		search->runs, terminal ? "" : "\n");
}

/* The schedules from the first on, until one is not good: *at is how many were. */
static int look(struct search *search, uint64_t *at)
{
	int rc = 0;

	for (*at = 0; rc == 0 && *at < search->runs && !cli_explore_interrupted; ++*at) {
		tell_progress(search, *at);
		rc = cli_explore_try(search, (struct schedule){search->first + *at, search->depth});
		if (rc == 0 && search->verdict->status != SHUNT_RECORD_OK)
			break;
	}
	if (isatty(2))
		fprintf(stderr, "\r\x1b[K");
	return rc;
}

/* The same seed with the first of its changes, the fewest that do; the verdict is of what is found.
 * An interrupted search keeps what it has. */
static int shrink(struct search *search, struct schedule *found)
{
	unsigned most = strcmp(search->strategy, "pct") == 0 ? found->depth : 1;
	struct verdict whole = *search->verdict;
	int rc = 0;

	for (unsigned depth = 1; rc == 0 && depth < most && !cli_explore_interrupted; depth++) {
		rc = cli_explore_try(search, (struct schedule){found->seed, depth});
		if (rc == 0 && went_wrong(search->verdict)) {
			found->depth = depth;
			return 0;
		}
	}
	if (rc == 0 && !cli_explore_interrupted)
		rc = cli_explore_try(search, *found);
	if (cli_explore_interrupted)
		*search->verdict = whole;
	return rc;
}

/* ---- what is said of it ---------------------------------------------------------------------- */

static void say_how_to_repeat(const struct search *search, struct schedule schedule)
{
	struct cli_text line = {0}, spec = {0};

	cli_explore_spec(search, schedule, &spec);
	cli_add(&line, "shunt run ");
	cli_add_shell(&line, spec.s);
	for (size_t i = 1; i < search->run.args.word_count; i++) {
		cli_add(&line, " ");
		cli_add_shell(&line, search->run.args.word[i]);
	}
	cli_add(&line, " --warmup 0 --iters 1 --seed %" PRIu64, search->run.request.seed);
	if (search->verdict->status == SHUNT_RECORD_TIMEOUT)
		cli_add(&line, " --timeout %" PRIu64 "ns", search->run.request.timeout_ns);
	printf("Repeat    %s\n", line.s);
	free(line.s);
	free(spec.s);
}

static int tell_finding(struct search *search, struct schedule found, uint64_t nth)
{
	unsigned depth = found.depth;
	enum shunt_record_status status = search->verdict->status;
	char first[sizeof(search->verdict->reason)], number[32];

	snprintf(first, sizeof(first), "%s", search->verdict->reason);
	int rc = shrink(search, &found);

	if (rc)
		return rc;
	printf("%sFound%s     by schedule %s: ", cli_red(), cli_plain(),
		cli_grouped(nth, number, sizeof(number)));
	printf("%s: %s\n", shunt_record_status_name(status), first);
	if (found.depth < depth)
		printf("Shrunk    to depth %u from %u: %s\n", found.depth, depth,
			search->verdict->reason);
	else if (!went_wrong(search->verdict))
		printf("Again     it does not go wrong: something else than the schedule decides; "
		       "see `shunt run --check-determinism`\n");
	say_how_to_repeat(search, found);
	printf("          (--trace FILE shows what ran when)\n");
	return CLI_CHECK_FAILED;
}

/* That a bug of a depth goes by all runs: at most (1 - 1 / (n k^(depth-1)))^runs. */
static double chance_of_showing(const struct search *search, unsigned depth, uint64_t runs)
{
	double one = 1 / ((double)search->tasks * pow((double)search->steps, depth - 1));

	return -expm1((double)runs * log1p(-one));
}

static void tell_clean(const struct search *search, uint64_t runs)
{
	char number[32];

	printf("%sClean%s     none of %s schedules went wrong\n", cli_green(), cli_plain(),
		cli_grouped(runs, number, sizeof(number)));
	for (unsigned depth = 1; search->bounded && depth <= search->depth; depth++) {
		double chance = 100 * chance_of_showing(search, depth, runs);

		printf("%s a bug of depth %u would have shown itself with %s%.3g %%\n",
			depth == 1 ? "Bound    " : "         ", depth,
			chance > 99.9 ? "more than " : "at least ", chance > 99.9 ? 99.9 : chance);
	}
}

/* ---- the command ----------------------------------------------------------------------------- */

static void tell_what(const struct search *search)
{
	char tasks[32], picks[32];

	printf("Schedules %s of %s on %s", search->strategy, search->run.request.workload->name,
		search->run.args.word[0]);
	if (search->tasks)
		printf(": %s tasks, %s picks", cli_grouped(search->tasks, tasks, sizeof(tasks)),
			cli_grouped(search->steps, picks, sizeof(picks)));
	printf("\n");
}

static int explore(struct search *search)
{
	struct schedule schedule = {search->first, 1};
	uint64_t good = 0;
	int rc = learn(search);

	if (rc == 0 && !went_wrong(search->verdict)) {
		rc = look(search, &good);
		schedule = (struct schedule){search->first + good, search->depth};
	}
	if (rc)
		return rc;
	tell_what(search);
	if (went_wrong(search->verdict))
		return tell_finding(search, schedule, good + 1);
	if (search->verdict->status == SHUNT_RECORD_SKIPPED)
		return cli_error(false, CLI_RUN_FAILED, "schedule %" PRIu64 " did not run: %s",
			good + 1, search->verdict->reason);
	tell_clean(search, good);
	if (!cli_explore_interrupted)
		return CLI_OK;
	printf("Go on     with --first %" PRIu64 "\n", search->first + good);
	return CLI_SIGNAL + cli_explore_interrupted;
}

/* The policy whose seed is a schedule; NULL: this build has none. */
static const char *find_policy(void)
{
	for (const struct shunt_plugin *at = shunt_registry_policies; at->name; at++) {
		const struct shunt_policy *policy = at->object;

		if (policy && policy->drawn)
			return at->name;
	}
	return NULL;
}

static int take(struct search *search)
{
	const struct shunt_values *options = &search->run.args.options;
	int rc = cli_run_take_workload(&search->run, "explore", "sim skynet");

	if (rc == 0)
		rc = cli_run_take_params(&search->run, 2);
	search->policy = find_policy();
	if (rc == 0 && !search->policy)
		rc = cli_error(false, CLI_RUN_FAILED, "no policy of this build draws schedules");
	search->strategy = shunt_value_text(options, "--strategy");
	search->runs = (uint64_t)shunt_value_int(options, "--runs");
	search->first = (uint64_t)shunt_value_int(options, "--first");
	search->depth = (unsigned)shunt_value_int(options, "--depth");
	search->steps = 1;
	search->run.request.timeout_ns = (uint64_t)shunt_value_int(options, "--timeout");
	search->run.request.clock_span_ns = CLOCK_SPAN_NS;
	search->run.request.watch_signals = true;
	return rc;
}

static int explore_command(const struct cli_command *command, int argc, char **argv)
{
	struct search search = {.told_s = time(NULL)};
	const struct sigaction noted = {.sa_handler = note};
	int rc = cli_args_parse(&search.run.args, command, argc, argv);

	search.verdict = mmap(NULL, sizeof(*search.verdict), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (rc == 0 && search.verdict == MAP_FAILED)
		rc = cli_error(false, CLI_RUN_FAILED, "out of memory");
	if (rc == 0)
		rc = take(&search);
	if (rc == 0) {
		sigaction(SIGINT, &noted, NULL);
		sigaction(SIGTERM, &noted, NULL);
		rc = explore(&search);
	}
	cli_run_release(&search.run);
	return rc;
}

static const char *const strategies[] = {"pct", "pos", NULL};

static const struct shunt_param options[] = {
	{.name = "--runs",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "1000",
		.min = 1,
		.max = INT64_C(1000000000),
		.help = "=N schedules, unless one goes wrong before"},
	{.name = "--strategy",
		.type = SHUNT_PARAM_CHOICE,
		.fallback = "pct",
		.choices = strategies,
		.help = "=NAME how schedules are drawn; pct has a bound, pos finds races of many "
			"tasks"},
	{.name = "--depth",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "3",
		.min = 1,
		.max = 16,
		.help = "=D of pct: orders of two events that the bug takes"},
	{.name = "--first",
		.type = SHUNT_PARAM_COUNT,
		.fallback = "1",
		.max = INT64_C(1000000000000),
		.help = "=S seed of the first schedule; the others follow"},
	{.name = "--timeout",
		.type = SHUNT_PARAM_DURATION,
		.fallback = "60s",
		.help = "=TIME a schedule that takes longer hangs; unless given, 20 times as long "
			"as the first one if that is more; 0: never"},
	CLI_SEED_OPTION,
	CLI_PLUGIN,
	{.name = NULL},
};

const struct cli_command cli_explore = {
	.name = "explore",
	.summary = "search for a schedule on which a workload goes wrong",
	.usage = "BACKEND[:KEY=VALUE,...] WORKLOAD [KEY=VALUE ...] [options]",
	.text = "Runs the workload in virtual time again and again, each time by another schedule, "
		"until a check fails, or it deadlocks, crashes or hangs. Prints what went wrong, "
		"and the line of `shunt run` that repeats it with as few changes of priorities as "
		"do. After clean runs: how likely a bug would have shown itself (Burckhardt et "
		"al., ASPLOS 2010). Schedules differ only where tasks switch.\n\n"
		"Exit status: 0 all schedules are good; 1 one went wrong; 2 usage error; 3 failed; "
		"130, 143 interrupted.",
	.examples = "  shunt explore sim chunked_sum preset=tutorial --runs 200\n"
		    "  shunt explore sim my_workload --plugin ./mine.so --depth 3\n",
	.options = options,
	.run = explore_command,
};
