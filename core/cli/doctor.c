/* SPDX-License-Identifier: MIT */
/* shunt doctor: what this machine can run, what is missing and how to get it, what will disturb. */
#include "core/cli/cli.h"

#include "core/measure/clock.h"
#include "core/measure/environment.h"
#include "core/harness.h"
#include "core/plugins.h"

#include <jansson.h>
#include <string.h>

static const char *const machine_facts[][2] = {
	{"processor", "cpu.model"},
	{"CPUs", "cpu.logical"},
	{"kernel", "kernel.release"},
	{"C library", "library.libc"},
};

static void print_machine(const struct shunt_env *env)
{
	char text[256], cost[32], memory[32];
	struct shunt_clock clock;
	const char *where;

	printf("%sMachine%s\n", cli_bold(), cli_plain());
	for (size_t i = 0; i < sizeof(machine_facts) / sizeof(machine_facts[0]); i++) {
		char label[32];

		snprintf(label, sizeof(label), "  %s", machine_facts[i][0]);
		cli_wrap(label, 18,
			cli_fact(env, machine_facts[i][1], text, sizeof(text), "not known"));
	}
	uint64_t available = shunt_memory_available(&where);

	snprintf(text, sizeof(text), "%s %s", cli_bytes((double)available, memory, sizeof(memory)),
		where);
	if (!available)
		snprintf(text, sizeof(text), "not known");
	cli_wrap("  memory", 18, text);
	shunt_clock_init(&clock, true, 0);
	snprintf(text, sizeof(text), "%s, %s per reading%s%s", shunt_clock_name(&clock),
		cli_ns(clock.read_cost_ns, cost, sizeof(cost)), clock.why[0] ? "; " : "",
		clock.why);
	cli_wrap("  probes' clock", 18, text);
}

/* Counts what can be used, and says what cannot and why. */
static void print_kind(const struct cli_kind *kind)
{
	struct cli_text usable = {0};
	char label[32];

	snprintf(label, sizeof(label), "  %s", kind->plural);
	for (const struct shunt_plugin *p = kind->list; p->name; p++) {
		struct shunt_error why;

		if (p->object && (!kind->probe || kind->probe(p->object, &why) == 0))
			cli_add(&usable, "%s%s", usable.len ? " " : "", p->name);
	}
	cli_wrap(label, 18, usable.s ? usable.s : "none");
	free(usable.s);
	for (const struct shunt_plugin *p = kind->list; p->name; p++) {
		struct shunt_error why = {""};
		struct cli_text text = {0};

		if (!p->object)
			cli_add(&text, "- %s: %s", p->name, p->absent_why);
		else if (kind->probe && kind->probe(p->object, &why) != 0)
			cli_add(&text, "- %s cannot run here: %s", p->name, why.text);
		if (text.s)
			cli_wrap("", 18, text.s);
		free(text.s);
	}
}

static void print_findings(const struct cli_finding *findings, size_t count)
{
	static const char *const words[] = {[CLI_FINE] = "fine",
		[CLI_UNKNOWN] = "?",
		[CLI_NOTE] = "note",
		[CLI_NOISE] = "NOISE"};
	size_t noise = 0;

	for (size_t i = 0; i < count; i++) {
		const struct cli_finding *f = &findings[i];
		char label[64];
		struct cli_text text = {0};

		noise += f->level == CLI_NOISE;
		snprintf(label, sizeof(label), "  %s%-5s%s  %s",
			f->level == CLI_NOISE ? cli_red() : "", words[f->level],
			f->level == CLI_NOISE ? cli_plain() : "", f->name);
		cli_add(&text, "%s%s%s", f->value, f->advice[0] ? ": " : "", f->advice);
		cli_wrap(label, 24, text.s);
		free(text.s);
	}
	printf("\n%s\n", noise ? "Numbers taken now will be noisy: see above."
			       : "Nothing here prevents measuring. Every run checks again and "
				 "reports what it\nfinds.");
}

static json_t *findings_json(const struct cli_finding *findings, size_t count)
{
	static const char *const words[] = {[CLI_FINE] = "fine",
		[CLI_UNKNOWN] = "unknown",
		[CLI_NOTE] = "note",
		[CLI_NOISE] = "noise"};
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:s}", "name", findings[i].name, "level",
				words[findings[i].level], "value", findings[i].value, "advice",
				findings[i].advice));
	return list;
}

static json_t *plugins_json(void)
{
	json_t *kinds = json_object();

	for (size_t i = 0; i < cli_kind_count; i++) {
		const struct cli_kind *kind = &cli_kinds[i];
		json_t *list = json_array();

		for (const struct shunt_plugin *p = kind->list; p->name; p++) {
			struct shunt_error why = {""};
			bool ok = p->object && (!kind->probe || kind->probe(p->object, &why) == 0);
			json_t *one = json_pack("{s:s, s:b}", "name", p->name, "available", ok);

			if (!ok)
				json_object_set_new(one, "why",
					json_string(p->object ? why.text : p->absent_why));
			json_array_append_new(list, one);
		}
		json_object_set_new(kinds, kind->plural, list);
	}
	return kinds;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
	struct cli_finding findings[CLI_FINDINGS_MAX];
	struct shunt_env *env = NULL;
	struct cli_args args;
	int rc = cli_args_parse(&args, command, argc, argv);

	if (rc == 0 && args.word_count > 0)
		rc = cli_error(args.json, CLI_USAGE, "doctor takes no argument, but got '%s'",
			args.word[0]);
	if (rc == 0) {
		shunt_plugins_load_bundled(NULL);
		env = cli_gather();
		if (!env)
			rc = cli_error(args.json, CLI_RUN_FAILED, "out of memory");
	}
	if (rc == 0) {
		size_t count = cli_findings(env, findings);

		if (args.json) {
			json_t *manifest = json_object_get(shunt_env_json(env), "facts");

			rc = cli_json(json_pack("{s:o, s:o, s:o, s:O}", "plugins", plugins_json(),
					      "workers", cli_places_json(), "findings",
					      findings_json(findings, count), "facts", manifest),
				CLI_OK);
		} else {
			print_machine(env);
			cli_print_places();
			printf("\n%sWhat it can run%s\n", cli_bold(), cli_plain());
			for (size_t i = 0; i < cli_kind_count; i++)
				print_kind(&cli_kinds[i]);
			printf("\n%sWhat may disturb a measurement%s\n", cli_bold(), cli_plain());
			print_findings(findings, count);
		}
	}
	shunt_env_free(env);
	cli_args_free(&args);
	return rc;
}

static const struct shunt_param options[] = {CLI_JSON, CLI_PLUGIN, {.name = NULL}};

const struct cli_command cli_doctor = {
	.name = "doctor",
	.summary = "what this machine can run, what is missing, what disturbs measuring",
	.usage = "[--plugin FILE.so] [--json]",
	.text = "Probes every part on this machine: what cannot run, why, and what would help; how "
		"many workers each placement gives. Then looks for what disturbs a measurement: "
		"clock rates that follow load or temperature, a hypervisor, other programs. run "
		"--strict refuses what it marks as NOISE.",
	.options = options,
	.run = run,
};
