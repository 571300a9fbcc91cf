/* SPDX-License-Identifier: MIT */
/* If this passes, every list of plug-ins ends, names nothing twice, and gives each entry either a
 * table that carries the same name or the reason why it is absent; and the tables that plug-ins
 * from files are compiled with keep their layout. */
#include "core/engine/slots.h"
#include "core/plugin.h"
#include "core/registry.h"
#include "core/workload.h"

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
	{"io", shunt_registry_ios},
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
	if (plugin->bundled) { /* not loaded yet */
		assert_null(plugin->object);
		assert_null(plugin->absent_why);
		return;
	}
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

/* What a plug-in compiled with this ABI holds. A field goes to the end of a table; any other
 * change is a new SHUNT_PLUGIN_ABI, with offsets of its own here. */
static void stable_tables_keep_their_layout(void **state)
{
	(void)state;
	assert_int_equal(SHUNT_PLUGIN_ABI, 2);
	assert_int_equal(offsetof(struct shunt_plugin_v1, locked), 112);
	assert_int_equal(offsetof(struct shunt_switch, resolve), 32);
	assert_int_equal(offsetof(struct shunt_switch_ops, stack_overhead), 88);
	assert_int_equal(offsetof(struct shunt_timers, count), 64);
	assert_int_equal(offsetof(struct shunt_timer, ticket), 16);
	assert_int_equal(offsetof(struct shunt_wait, syscalls), 136);
	assert_int_equal(offsetof(struct shunt_wait_config, fired), 16);
	assert_int_equal(offsetof(struct shunt_place, describe), 72);
	assert_int_equal(offsetof(struct shunt_workload, verify), 104);
	assert_int_equal(offsetof(struct shunt_param, help), 48);
	assert_int_equal(offsetof(struct shunt_value, given), 24);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lists_are_whole),
		cmocka_unit_test(stable_tables_keep_their_layout)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
