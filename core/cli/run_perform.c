/* SPDX-License-Identifier: MIT */
/*
 * What `shunt run` and `shunt record` share: the look at the machine, the run, what is kept of it.
 *
 * What happens after the run has begun leaves a record, also when a signal or the timeout ends the
 * process from the watcher's thread.
 */
#include "core/cli/run.h"

#include "core/cli/program.h"
#include "core/measure/environment.h"
#include "core/spec.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the machine ----------------------------------------------------------------------------- */

static int look_at_machine(struct cli_run *run)
{
	struct shunt_error err;

	run->env = cli_gather();
	if (!run->env)
		return cli_error(run->args.json, CLI_RUN_FAILED, "out of memory for the manifest");
	run->finding_count = cli_findings(run->env, run->findings);
	if (shunt_env_seal(run->env, cli_is_set(&run->args, "--redact"), &err) != 0)
		return cli_error(run->args.json, CLI_RUN_FAILED, "the manifest: %s", err.text);
	if (!cli_is_set(&run->args, "--strict"))
		return 0;
	for (size_t i = 0; i < run->finding_count; i++)
		if (run->findings[i].level == CLI_NOISE)
			return cli_error(run->args.json, CLI_ENVIRONMENT,
				"refused by --strict: %s %s: %s; `shunt doctor` shows everything",
				run->findings[i].name, run->findings[i].value,
				run->findings[i].advice);
	return 0;
}

/* ---- what came of it ------------------------------------------------------------------------- */

static int exit_status(const struct shunt_outcome *outcome)
{
	if (outcome->status == SHUNT_RECORD_OK)
		return CLI_OK;
	return outcome->check_failed ? CLI_CHECK_FAILED : CLI_RUN_FAILED;
}

/* The record could not be kept where it was wanted: rather elsewhere than nowhere. */
static void rescue(struct cli_run *run, const struct shunt_record *record)
{
	const char *folder = getenv("TMPDIR");
	struct shunt_error err;
	char path[4096];

	snprintf(path, sizeof(path), "%s/shunt-%s-%ld.json", folder && *folder ? folder : "/tmp",
		shunt_record_run_id(record), (long)getpid());
	if (shunt_record_write(record, run->env, path, false, &err) == 0)
		fprintf(stderr, "shunt: the record is in %s instead\n", path);
}

/* Keeps the record; 0 or an exit status. *kept (for the report) is freed by the caller. */
static int keep_record(struct cli_run *run, const struct shunt_record *record, char **kept)
{
	struct shunt_error err = {""};
	struct cli_text text = {0};

	*kept = NULL;
	if (!run->record_path)
		return 0;
	if (shunt_record_write(record, run->env, run->record_path, run->force, &err) != 0) {
		fprintf(stderr, "shunt: cannot keep the record: %s\n", err.text);
		rescue(run, record);
		return CLI_RUN_FAILED;
	}
	cli_add(&text, "%s", run->record_path);
	struct stat there;

	if (stat(run->record_path, &there) == 0 && S_ISREG(there.st_mode))
		cli_add(&text, "; the machine's manifest is env/%.12s... beside it",
			shunt_env_id(run->env));
	*kept = text.s;
	return 0;
}

static void tell_what_ended_it(const struct shunt_outcome *outcome)
{
	if (outcome->status != SHUNT_RECORD_OK)
		fprintf(stderr, "shunt: %s on %s: %s: %s\n", outcome->workload->name,
			outcome->backend_name, shunt_record_status_name(outcome->status),
			outcome->reason);
}

static void these_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGXCPU);
}

/* Signals wait until there is somebody to take them, the watcher, and then until the record is
 * kept. After that nothing is lost any more: whoever does not get rid of the report may end it.
 * Until the watcher is there all others wait too, but for a crash's: a storm of them would keep
 * this thread from making it, and nothing would end the process. */
static void hold_all_signals(sigset_t *before)
{
	static const int of_crashes[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	sigset_t all;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof(of_crashes) / sizeof(of_crashes[0]); i++)
		sigdelset(&all, of_crashes[i]);
	pthread_sigmask(SIG_BLOCK, &all, before);
}

static void hold_these_signals(const sigset_t *before)
{
	sigset_t these, held = *before;

	these_signals(&these);
	sigorset(&held, before, &these);
	pthread_sigmask(SIG_SETMASK, &held, NULL);
}

static void let_signals_in(void)
{
	sigset_t these;

	these_signals(&these);
	pthread_sigmask(SIG_UNBLOCK, &these, NULL);
}

/* Record first, then what people read. Returns the exit status. */
static int conclude(struct cli_run *run, const struct shunt_outcome *outcome)
{
	int status = exit_status(outcome), rc;
	struct shunt_error err;
	struct shunt_record *record;
	struct stat there;
	char *kept = NULL;

	cli_run_caveats(run, outcome);
	record = cli_run_record(run, outcome, &err);
	if (!record)
		return cli_error(run->args.json, CLI_RUN_FAILED, "cannot make the record: %s",
			err.text);
	/* A pipe is read when its reader likes: that wait can be ended. */
	if (run->record_path && stat(run->record_path, &there) == 0 && !S_ISREG(there.st_mode))
		let_signals_in();
	rc = keep_record(run, record, &kept);
	let_signals_in();
	tell_what_ended_it(outcome);
	if (run->args.json) {
		cli_json(json_incref(shunt_record_json(record)), status);
	} else {
		if (run->request.narrate)
			printf("\n");
		cli_run_report(run, outcome, kept);
	}
	free(kept);
	shunt_record_free(record);
	return rc ? rc : status;
}

/* On the watcher's thread, while the run's own threads still compute: nothing is freed. */
static void abandoned(void *arg, const struct shunt_outcome *outcome, int signal)
{
	struct cli_run *run = arg;
	int status = CLI_RUN_FAILED;

	if (run->program)
		cli_child_kill(&run->program->child);
	if (outcome->incomplete)
		tell_what_ended_it(outcome);
	else
		status = conclude(run, outcome);
	fflush(stdout);
	_exit(signal ? CLI_SIGNAL + signal : status);
}

static int look_around(void *arg)
{
	struct cli_run *run = arg;

	run->refused = cli_run_check_paths(run);
	if (!run->refused)
		run->refused = look_at_machine(run);
	return run->refused ? -ECANCELED : 0;
}

int cli_run_perform(struct cli_run *run)
{
	struct shunt_run *harness;
	struct shunt_error err = {""};
	sigset_t before;
	int rc;

	hold_all_signals(&before);
	run->request.look_around = look_around;
	run->request.abandoned = abandoned;
	rc = shunt_run_prepare(&harness, &run->request, &err);
	hold_these_signals(&before);
	if (rc)
		return run->refused ? run->refused
				    : cli_error(run->args.json,
					      rc == -ENOMEM ? CLI_RUN_FAILED : CLI_USAGE, "%s",
					      err.text);
	if (run->program)
		shunt_run_set_state(harness, run->program);
	const struct shunt_outcome *outcome = shunt_run_outcome(harness);

	if (run->check_determinism && outcome->caps && !(outcome->caps & SHUNT_VIRTUAL_TIME)) {
		shunt_run_free(harness);
		return cli_error(run->args.json, CLI_USAGE,
			"--check-determinism needs virtual time, as the backend sim has: in real "
			"time no two runs are alike");
	}
	shunt_run_execute(harness);
	hold_these_signals(&before); /* the watcher, as it ended, put back what it found */
	rc = conclude(run, outcome);
	if (rc == CLI_OK && run->check_determinism)
		rc = cli_run_again(run, outcome);
	shunt_run_free(harness);
	return rc;
}

void cli_run_release(struct cli_run *run)
{
	for (size_t i = 0; i < run->request.param_count; i++)
		free((char *)run->params[i].key);
	free(run->params);
	free(run->caveats.s);
	shunt_env_free(run->env);
	cli_args_free(&run->args);
}
