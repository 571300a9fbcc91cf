/* SPDX-License-Identifier: MIT */
/* If this passes, a spec opens the backend it names with its settings, or says why not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What the fake backend was opened with, as text. */
static char opened[512];
static int probe_code;

static int fake_probe(struct shunt_error *why)
{
	return probe_code ? shunt_fail(why, probe_code, "no such processor") : 0;
}

static int fake_open(struct shunt_sched **sched, const struct shunt_backend *backend,
	const struct shunt_config *config, struct shunt_error *err)
{
	static struct shunt_sched one;
	size_t used = (size_t)snprintf(opened, sizeof(opened), "%s seed=%d", config->backend,
		(int)config->seed);

	(void)err;
	for (size_t i = 0; i < config->setting_count; i++)
		used += (size_t)snprintf(opened + used, sizeof(opened) - used, " %s%s=%s",
			config->settings[i].by_user ? "!" : "", config->settings[i].key,
			config->settings[i].value);
	one.backend = backend;
	*sched = &one;
	return 0;
}

static const struct shunt_param complete_params[] = {
	{.name = "threads", .type = SHUNT_PARAM_COUNT, .fallback = "4", .min = 1, .max = 9},
	{.name = NULL},
};

static int complete_open(struct shunt_sched **sched, const struct shunt_backend *backend,
	const struct shunt_config *config, struct shunt_error *err)
{
	struct shunt_values values;
	int rc = shunt_config_values(&values, backend->params, config, err);

	if (rc)
		return rc;
	shunt_values_fini(&values);
	return fake_open(sched, backend, config, err);
}

static const struct shunt_backend composed = {.name = "composed",
	.preset = "switch=a wait=b",
	.probe = fake_probe,
	.open = fake_open};
static const struct shunt_backend complete = {.name = "complete",
	.params = complete_params,
	.open = complete_open};

/* The lists that core refers to and this test leaves empty. */
struct shunt_plugin shunt_registry_switches[] = {{NULL, NULL, NULL, NULL, NULL}};
struct shunt_plugin shunt_registry_waits[] = {{NULL, NULL, NULL, NULL, NULL}};
struct shunt_plugin shunt_registry_timers[] = {{NULL, NULL, NULL, NULL, NULL}};
struct shunt_plugin shunt_registry_policies[] = {{NULL, NULL, NULL, NULL, NULL}};
struct shunt_plugin shunt_registry_workloads[] = {{NULL, NULL, NULL, NULL, NULL}};
const struct shunt_texts shunt_registry_texts[] = {{NULL, NULL}};
struct shunt_plugin shunt_registry_places[] = {{NULL, NULL, NULL, NULL, NULL}};
struct shunt_plugin shunt_registry_ios[] = {{NULL, NULL, NULL, NULL, NULL}};

/* The registry of this test. */
struct shunt_plugin shunt_registry_backends[] = {
	{"composed", &composed, NULL, NULL, NULL},
	{"complete", &complete, NULL, NULL, NULL},
	{"ring", NULL, "not built: libring not found (Debian package libring-dev)", NULL, NULL},
	{NULL, NULL, NULL, NULL, NULL},
};

static struct shunt_sched *sched;
static struct shunt_error err;

static int set_up(void **state)
{
	(void)state;
	opened[0] = err.text[0] = '\0';
	probe_code = 0;
	return 0;
}

static void opens(const char *spec, const char *with)
{
	if (shunt_open(&sched, spec, NULL, &err) != 0)
		fail_msg("%s", err.text);
	assert_string_equal(opened, with);
}

static void refuses(const char *spec, int code, const char *message)
{
	assert_int_equal(shunt_open(&sched, spec, NULL, &err), code);
	assert_string_equal(err.text, message);
	assert_string_equal(opened, "");
}

static void settings(void **state)
{
	const struct shunt_setting more = {.key = "place", .value = "none", .by_user = true};
	const struct shunt_config base = {.seed = 7, .settings = &more, .setting_count = 1};

	(void)state;
	opens("composed", "composed seed=0");
	opens("composed:wait=d,stack.size=128k", "composed seed=0 !wait=d !stack.size=128k");
	opens("complete:threads=9", "complete seed=0 !threads=9");
	assert_int_equal(shunt_open(&sched, "composed:place=0+2-4", &base, &err), 0);
	assert_string_equal(opened, "composed seed=7 !place=0+2-4 !place=none");
}

static void names(void **state)
{
	(void)state;
	refuses("compsed", -ENOENT,
		"unknown backend 'compsed'; did you mean 'composed'? There are composed, complete, "
		"ring");
	refuses("zebra", -ENOENT, "unknown backend 'zebra'; there are composed, complete, ring");
	refuses("", -ENOENT, "unknown backend ''; there are composed, complete, ring");
	refuses("ring:x=1", -ENOSYS,
		"backend 'ring' is not built: libring not found (Debian package libring-dev)");
}

static void forms(void **state)
{
	(void)state;
	refuses("composed:", -EINVAL,
		"spec of 'composed': a setting is missing; expected KEY=VALUE[,KEY=VALUE...] after "
		"':'");
	refuses("composed:wait=d,", -EINVAL,
		"spec of 'composed': a setting is missing; expected KEY=VALUE[,KEY=VALUE...] after "
		"':'");
	refuses("composed:wait", -EINVAL,
		"spec of 'composed': 'wait' is not a setting; expected KEY=VALUE");
	refuses("composed:=d", -EINVAL,
		"spec of 'composed': '=d' is not a setting; expected KEY=VALUE");
	refuses("composed:wait=", -EINVAL, "spec of 'composed': wait= has no value");
	refuses("composed:wait=d,wait=e", -EINVAL, "spec of 'composed': wait is set twice");
}

static void values(void **state)
{
	(void)state;
	refuses("complete:thread=2", -ENOENT,
		"backend 'complete' has no parameter 'thread'; did you mean 'threads'? It takes "
		"threads");
	refuses("complete:threads=10", -ERANGE,
		"backend 'complete': threads=10 is out of range: expected a count such as 1000, "
		"10k or "
		"1M, 1 to 9");
}

static void probe(void **state)
{
	(void)state;
	probe_code = -ENOTSUP;
	refuses("composed", -ENOTSUP,
		"backend 'composed' cannot run on this machine: no such processor");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(settings, set_up),
		cmocka_unit_test_setup(names, set_up),
		cmocka_unit_test_setup(forms, set_up),
		cmocka_unit_test_setup(values, set_up),
		cmocka_unit_test_setup(probe, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
