/* SPDX-License-Identifier: MIT */
/*
 * A backend that runs nothing itself, and a workload whose iterations are read from a child
 * process.
 *
 * It has no scheduler, no clock and no record of its own: those of the harness do.
 */
#include "core/cli/program.h"

#include "core/harness.h"
#include "core/measure/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- the backend, which runs nothing itself -------------------------------------------------- */

static struct cli_program *program_of(const struct shunt_backend *backend)
{
	return (struct cli_program *)((char *)(uintptr_t)backend -
				      offsetof(struct cli_program, backend));
}

static int program_open(struct shunt_sched **sched, const struct shunt_backend *backend,
	const struct shunt_config *config, struct shunt_error *err)
{
	struct cli_program *program = program_of(backend);

	if (config->setting_count > PROGRAM_SETTINGS_MOST)
		return shunt_fail(err, -EINVAL, "the spec of '%s' has more than %d settings",
			backend->name, PROGRAM_SETTINGS_MOST);
	program->setting_count = config->setting_count;
	for (size_t i = 0; i < config->setting_count; i++)
		program->setting[i] = config->settings[i];
	program->sched = (struct shunt_sched){.backend = backend,
		.caps = SHUNT_CAN_BLOCK | SHUNT_TIMED,
		.worker_count = 1};
	*sched = &program->sched;
	return 0;
}

static int program_run(struct shunt_sched *sched, shunt_task_fn *root, void *arg, void **result,
	struct shunt_error *err)
{
	(void)sched, (void)result, (void)err;
	root(arg);
	return 0;
}

static void program_close(struct shunt_sched *sched)
{
	(void)sched;
}

static void program_counters(const struct shunt_sched *sched, shunt_counter_fn *counter, void *sink)
{
	const struct cli_told *told = &program_of(sched->backend)->told;

	for (unsigned i = 0; i < told->counter_count; i++)
		counter(sink, told->counter[i].name, told->counter[i].value);
}

static void program_composition(const struct shunt_sched *sched,
	void (*setting)(void *sink, const char *key, const char *value), void *sink)
{
	const struct cli_program *program = program_of(sched->backend);

	for (size_t i = 0; i < program->setting_count; i++)
		setting(sink, program->setting[i].key, program->setting[i].value);
}

/* ---- the question ---------------------------------------------------------------------------- */

static json_t *value_json(const struct shunt_param *param, const struct shunt_value *value)
{
	char text[4096];

	if (param->type <= SHUNT_PARAM_SIZE)
		return json_integer(value->integer);
	if (param->type == SHUNT_PARAM_REAL)
		return json_real(value->real);
	return shunt_json_text(shunt_value_format(param, value, text, sizeof(text)));
}

static char *question(const struct cli_program *program, const struct shunt_run *run)
{
	const struct shunt_values *values = shunt_run_values(run);
	json_t *params = json_object(), *settings = json_object();
	char seed[24];

	snprintf(seed, sizeof(seed), "%" PRIu64, shunt_run_seed(run));
	for (size_t i = 0; values->params && values->params[i].name; i++)
		json_object_set_new(params, values->params[i].name,
			value_json(&values->params[i], &values->value[i]));
	for (size_t i = 0; i < program->setting_count; i++)
		json_object_set_new(settings, program->setting[i].key,
			shunt_json_text(program->setting[i].value));
	json_t *all = json_pack("{s:s, s:o, s:s, s:o, s:s, s:i}", "workload",
		program->workload.name, "params", params, "backend", program->backend.name,
		"settings", settings, "seed", seed, "iterations", (int)program->iterations);
	char *line = all ? shunt_json_line(all) : NULL;

	json_decref(all);
	return line;
}

/* ---- its lines ------------------------------------------------------------------------------- */

/* It ended before it should: how, or else that it did. */
static int ended_early(struct cli_program *program, struct shunt_error *err)
{
	struct shunt_error how = {"ended"};

	if (cli_child_has_rest(&program->child))
		snprintf(how.text, sizeof(how.text), "ended in the middle of line %u",
			program->child.line + 1);
	cli_child_reap(&program->child, &how);
	return shunt_fail(err, -EIO, "the program %s before its last iteration was over", how.text);
}

/* What was wrong with a line, with the line itself as far as it can be shown. */
static int bad_line(const struct cli_program *program, const char *line, size_t length,
	const struct shunt_error *why, struct shunt_error *err)
{
	char shown[61];
	size_t n = length < sizeof(shown) - 1 ? length : sizeof(shown) - 1;

	for (size_t i = 0; i < n; i++)
		shown[i] = line[i] >= ' ' && line[i] < 127 ? line[i] : '?';
	shown[n] = '\0';
	return shunt_fail(err, -EINVAL,
		"line %u of the program's output: %s, in '%s%s'; other output belongs on its "
		"standard "
		"error",
		program->child.line, why->text, shown, n < length ? "..." : "");
}

/* Reads until an iteration begins or ends: that, or a negative errno with err. */
static int listen_to(struct cli_program *program, struct shunt_error *err)
{
	struct shunt_error why = {""};
	size_t length;
	int rc = 0;

	do {
		const char *line = cli_child_line(&program->child, &length, &rc);

		if (!line && rc == -EMSGSIZE)
			return shunt_fail(err, rc,
				"line %u of the program's output is longer than %d bytes: divide "
				"its samples",
				program->child.line + 1, CLI_LINE_MOST);
		if (!line)
			return rc ? shunt_fail(err, rc, "the program's output cannot be read: %s",
					    strerror(-rc))
				  : ended_early(program, err);
		rc = cli_told_line(&program->told, line, length, &why);
		if (rc == -EINVAL)
			return bad_line(program, line, length, &why, err);
		if (rc < 0)
			return shunt_fail(err, rc, "%s", why.text);
	} while (rc == TOLD_MORE);
	return rc;
}

/* After the last iteration: only the end is left. */
static int listen_to_end(struct cli_program *program, struct shunt_error *err)
{
	struct shunt_error how = {""};
	size_t length;
	int rc = 0;

	if (cli_child_line(&program->child, &length, &rc) || cli_child_has_rest(&program->child))
		return shunt_fail(err, -EINVAL,
			"the program went on after its last iteration, with line %u of its output",
			program->child.line + cli_child_has_rest(&program->child));
	rc = cli_child_reap(&program->child, &how);
	return rc ? shunt_fail(err, rc, "after its last iteration the program %s", how.text) : 0;
}

/* ---- the workload ---------------------------------------------------------------------------- */

static int program_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct cli_program *program = shunt_run_state(run);

	program->told = (struct cli_told){.run = run,
		.iterations = program->iterations,
		.cost_metric = program->workload.cost_metric};
	char *line = question(program, run);

	if (!line)
		return -ENOMEM;
	int rc = cli_child_start(&program->child, program->command, line, err);

	free(line);
	if (rc == 0)
		rc = listen_to(program, err);
	return rc < 0 ? rc : 0;
}

static int program_body(struct shunt_run *run)
{
	struct cli_program *program = shunt_run_state(run);
	struct shunt_error err = {""};
	int rc;

	do
		rc = listen_to(program, &err);
	while (rc == TOLD_BEGIN);
	if (rc > 0 && program->told.begun == program->iterations)
		rc = listen_to_end(program, &err);
	if (rc >= 0)
		return 0;
	shunt_run_explain(run, "%s", err.text);
	return rc;
}

static void program_verify(struct shunt_run *run)
{
	(void)run; /* the checks have been told */
}

static void program_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	(void)run;
	*footprint = (struct shunt_footprint){0};
}

static void program_teardown(struct shunt_run *run)
{
	struct cli_program *program = shunt_run_state(run);

	cli_child_fini(&program->child);
}

void cli_program_init(struct cli_program *program, const char *backend,
	const struct shunt_workload *workload, const char *const *command, unsigned iterations)
{
	*program = (struct cli_program){
		.backend = {.name = backend,
			.summary = "a program that reports by lines",
			.open = program_open,
			.run = program_run,
			.close = program_close,
			.counters = program_counters,
			.composition = program_composition},
		.workload = {.name = workload->name,
			.summary = workload->summary,
			.operation = workload->operation,
			.cost_metric = workload->cost_metric,
			.params = workload->params,
			.resolve = workload->resolve,
			.footprint = program_footprint,
			.setup = program_setup,
			.body = program_body,
			.verify = program_verify,
			.teardown = program_teardown},
		.command = command,
		.iterations = iterations,
	};
	cli_child_init(&program->child);
}
