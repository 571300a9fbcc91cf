/* SPDX-License-Identifier: MIT */
/*
 * One run of a search, in a child process: a schedule may crash, hang or panic.
 *
 * What came of it lies in memory that both share.
 */
#include "core/cli/explore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

volatile sig_atomic_t cli_explore_interrupted;

void cli_explore_spec(const struct search *search, struct schedule schedule, struct cli_text *text)
{
	const char *spec = search->run.args.word[0];

	cli_add(text, "%s%cpolicy=%s,policy.strategy=%s,policy.seed=%" PRIu64, spec,
		strchr(spec, ':') ? ',' : ':', search->policy, search->strategy, schedule.seed);
	if (strcmp(search->strategy, "pct") == 0)
		cli_add(text, ",policy.depth=%u,policy.steps=%" PRIu64, schedule.depth,
			search->steps);
}

static uint64_t counter(const struct shunt_outcome *outcome, const char *name)
{
	for (size_t i = 0; i < outcome->counter_count; i++)
		if (strcmp(outcome->counters[i].name, name) == 0)
			return outcome->counters[i].value;
	return 0;
}

static void tell(struct verdict *verdict, const struct shunt_outcome *outcome)
{
	verdict->status = outcome->status;
	snprintf(verdict->reason, sizeof(verdict->reason), "%s", outcome->reason);
	verdict->workers = outcome->worker_count;
	verdict->tasks = counter(outcome, "spawns");
	verdict->picks = counter(outcome, "switches") + counter(outcome, "self_picks");
	verdict->told = true;
}

/* On the watcher's thread. */
static void abandoned(void *arg, const struct shunt_outcome *outcome, int signal)
{
	struct search *search = arg;

	(void)signal;
	tell(search->verdict, outcome);
	_exit(CLI_RUN_FAILED);
}

/* In the child. What a schedule prints is for its replay. */
_Noreturn static void be_the_run(struct search *search, struct schedule schedule)
{
	struct shunt_request *request = &search->run.request;
	struct cli_text spec = {0};
	struct shunt_error err = {""};
	struct shunt_run *harness;
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (nowhere >= 0)
		dup2(nowhere, 2);
	cli_explore_spec(search, schedule, &spec);
	request->spec = spec.s;
	request->abandoned = abandoned;
	request->arg = search;
	if (shunt_run_prepare(&harness, request, &err)) {
		search->verdict->status = SHUNT_RECORD_SKIPPED;
		snprintf(search->verdict->reason, sizeof(search->verdict->reason), "%s", err.text);
		search->verdict->told = true;
		_exit(CLI_USAGE);
	}
	/* Now: the run may not live to tell. */
	search->verdict->in_virtual_time = shunt_run_outcome(harness)->caps & SHUNT_VIRTUAL_TIME;
	if (search->verdict->in_virtual_time)
		shunt_run_execute(harness);
	tell(search->verdict, shunt_run_outcome(harness));
	_exit(CLI_OK);
}

int cli_explore_try(struct search *search, struct schedule schedule)
{
	struct verdict *verdict = search->verdict;
	int status;

	*verdict = (struct verdict){.told = false};
	fflush(stdout); /* or the child might print it, too */
	pid_t child = fork();
	if (child < 0)
		return cli_error(false, CLI_RUN_FAILED, "fork: %s", strerror(errno));
	if (child == 0)
		be_the_run(search, schedule);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return cli_error(false, CLI_RUN_FAILED, "waitpid: %s", strerror(errno));
	if (!verdict->told) {
		/* A terminal sends its interrupt to the child too, which may not catch it yet. */
		verdict->status = cli_explore_interrupted ? SHUNT_RECORD_INTERRUPTED
							  : SHUNT_RECORD_FAILED;
		if (WIFSIGNALED(status))
			snprintf(verdict->reason, sizeof(verdict->reason), "killed by %s",
				strsignal(WTERMSIG(status)));
		else
			snprintf(verdict->reason, sizeof(verdict->reason), "exit status %d",
				WEXITSTATUS(status));
	}
	return 0;
}
