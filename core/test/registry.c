/* SPDX-License-Identifier: MIT */
/* If this passes, every list of plug-ins ends, names nothing twice, and gives each entry either a
 * table that carries the same name or a reason why there is none. */
#include "core/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *kind;
	const struct shunt_plugin *plugins;
} lists[] = {
	{"switch", shunt_registry_switches},
	{"wait", shunt_registry_waits},
	{"timers", shunt_registry_timers},
	{"policy", shunt_registry_policies},
	{"place", shunt_registry_places},
	{"backend", shunt_registry_backends},
	{"workload", shunt_registry_workloads},
};

/* Every kind's table begins with its name. */
static const char *name_in(const void *object)
{
	return *(const char *const *)object;
}

static void entry_is_whole(const char *kind, const struct shunt_plugin *plugin)
{
	if (!plugin->object) {
		assert_non_null(plugin->absent_why);
		assert_non_null(strstr(plugin->absent_why, "not built"));
		return;
	}
	assert_null(plugin->absent_why);
	if (strcmp(plugin->name, name_in(plugin->object)) != 0)
		fail_msg("%s '%s' calls itself '%s'", kind, plugin->name, name_in(plugin->object));
}

static void lists_are_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		for (const struct shunt_plugin *p = lists[i].plugins; p->name; p++) {
			entry_is_whole(lists[i].kind, p);
			for (const struct shunt_plugin *other = p + 1; other->name; other++)
				assert_string_not_equal(p->name, other->name);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lists_are_whole)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
