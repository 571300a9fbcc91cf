/* SPDX-License-Identifier: MIT */
/*
 * shunt arrivals: the arrival table of an open loop, for programs that are to serve the same
 * requests.
 *
 * The workload makes it: its parameters are resolved and it is set up as for a run, which is then
 * not made.
 */
#include "core/cli/run.h"

#include "core/cli/program.h"

#include <string.h>

/* The workload that has such a table; NULL: this build has none. */
static const struct shunt_workload *find_workload(void)
{
	for (const struct shunt_plugin *at = shunt_registry_workloads; at->name; at++) {
		const struct shunt_workload *workload = at->object;

		if (workload && workload->print_arrivals)
			return workload;
	}
	return NULL;
}

static int print(struct cli_run *run, const struct shunt_workload *workload)
{
	static struct cli_program none;
	struct shunt_error err = {""};
	struct shunt_run *harness;

	cli_program_init(&none, "none", workload, NULL, 0);
	run->request.backend = &none.backend;
	run->request.workload = &none.workload;
	run->request.spec = none.backend.name;
	int rc = shunt_run_prepare(&harness, &run->request, &err);

	if (rc)
		return cli_error(false, rc == -ENOMEM ? CLI_RUN_FAILED : CLI_USAGE, "%s", err.text);
	const struct shunt_outcome *outcome = shunt_run_outcome(harness);

	if (*outcome->reason)
		rc = cli_error(false, CLI_USAGE, "%s", outcome->reason);
	else if (workload->setup(harness, &err))
		rc = cli_error(false, CLI_RUN_FAILED, "%s", err.text);
	else
		workload->print_arrivals(harness, stdout);
	if (shunt_run_state(harness))
		workload->teardown(harness);
	shunt_run_free(harness);
	return rc;
}

static int arrivals_command(const struct cli_command *command, int argc, char **argv)
{
	struct cli_run run = {0};
	const struct shunt_workload *workload = find_workload();
	int rc = cli_args_parse(&run.args, command, argc, argv);

	if (rc == 0 && !workload)
		rc = cli_error(false, CLI_RUN_FAILED,
			"no workload of this build has a table of arrivals");
	if (rc == 0)
		rc = cli_run_take_params(&run, 0);
	if (rc == 0)
		rc = print(&run, workload);
	cli_run_release(&run);
	return rc;
}

static const struct shunt_param options[] = {
	CLI_SEED_OPTION,
	CLI_PLUGIN,
	{.name = NULL},
};

const struct cli_command cli_arrivals = {
	.name = "arrivals",
	.summary = "print the arrival table of an open loop",
	.usage = "[KEY=VALUE ...] [options]",
	.text = "Prints the requests that an open loop with the same parameters and seed serves: "
		"after a "
		"comment with the hash of all, one a line, `arrival_ns service_ns class`. What it "
		"prints is a file for input=FILE, too.",
	.examples = "  shunt arrivals requests=1000 load=0.7 mean=1ms --seed 7\n",
	.options = options,
	.run = arrivals_command,
};
