/* SPDX-License-Identifier: MIT */
/* If this passes, a manifest says where each fact is from, and its name changes with its
 * content. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/measure/environment.h"
#include "core/param.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct shunt_env *sealed(const char *root, const char *fact, bool redact)
{
	struct shunt_env *env = NULL;

	assert_int_equal(shunt_env_new(&env), 0);
	if (root)
		shunt_env_gather(env, root);
	if (fact)
		shunt_env_fact(env, "test.fact", fact, "the test");
	assert_int_equal(shunt_env_seal(env, redact, NULL), 0);
	return env;
}

static json_t *fact_of(const struct shunt_env *env, const char *name)
{
	return json_object_get(json_object_get(shunt_env_json(env), "facts"), name);
}

static void every_fact_is_a_value_with_a_source_or_a_reason(void **state)
{
	struct shunt_env *env = sealed("", NULL, false);
	json_t *facts = json_object_get(shunt_env_json(env), "facts"), *fact;
	const char *name;

	(void)state;
	assert_true(json_object_size(facts) > 40);
	json_object_foreach(facts, name, fact)
	{
		bool has = json_object_get(fact, "value") && json_object_get(fact, "source");
		const char *why = json_string_value(json_object_get(fact, "absent"));

		if (has == (why && *why))
			fail_msg("%s is neither known nor absent", name);
	}
	assert_int_equal(strlen(shunt_env_id(env)), 64);
	assert_int_equal(strlen(shunt_env_machine_class(env)), 16);
	shunt_env_free(env);
}

static void the_same_machine_gives_the_same_id(void **state)
{
	struct shunt_env *a = sealed("", "x", false), *b, *c;

	(void)state;
	usleep(20000);
	b = sealed("", "x", false);
	c = sealed("", "y", false);
	assert_string_equal(shunt_env_id(a), shunt_env_id(b));
	assert_string_not_equal(shunt_env_id(a), shunt_env_id(c));
	assert_string_equal(shunt_env_machine_class(a), shunt_env_machine_class(c));
	shunt_env_free(a);
	shunt_env_free(b);
	shunt_env_free(c);
}

static void passing_facts_are_not_hashed(void **state)
{
	struct shunt_env *a = NULL, *b = NULL;

	(void)state;
	assert_int_equal(shunt_env_new(&a), 0);
	assert_int_equal(shunt_env_new(&b), 0);
	shunt_env_volatile(a, "test.time", "now", "the test");
	assert_int_equal(shunt_env_seal(a, false, NULL), 0);
	assert_int_equal(shunt_env_seal(b, false, NULL), 0);
	assert_string_equal(shunt_env_id(a), shunt_env_id(b));
	shunt_env_free(a);
	shunt_env_free(b);
}

static void a_sealed_manifest_takes_nothing_more(void **state)
{
	struct shunt_env *env = sealed(NULL, "x", false);

	(void)state;
	shunt_env_fact(env, "test.late", "x", "the test");
	shunt_env_fact(env, "test.late", NULL, "the test");
	assert_null(fact_of(env, "test.late"));
	shunt_env_free(env);
}

static void an_absent_fact_says_why(void **state)
{
	struct shunt_env *env = NULL;

	(void)state;
	assert_int_equal(shunt_env_new(&env), 0);
	shunt_env_fact(env, "test.none", NULL, "the test has none");
	assert_string_equal(json_string_value(json_object_get(fact_of(env, "test.none"), "absent")),
		"the test has none");
	shunt_env_free(env);
}

static void a_machine_that_says_nothing_is_all_absent(void **state)
{
	struct shunt_env *env = sealed("/nowhere", NULL, false);
	static const char *const names[] = {"cpu.model", "cpu.caches", "cpu.mitigations",
		"cpu.governor", "kernel.cmdline", "kernel.io_uring_disabled",
		"machine.memory_bytes", "machine.cgroup", "topology.xml"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_non_null(json_object_get(fact_of(env, names[i]), "absent"));
	shunt_env_free(env);
}

static void the_build_id_is_the_one_in_the_file(void **state)
{
	char id[SHUNT_BUILD_ID_BYTES], command[512], out[256] = "";

	(void)state;
	if (shunt_build_id(id) < 0)
		skip();
	snprintf(command, sizeof(command),
		"readelf -n /proc/%d/exe 2>/dev/null | sed -n 's/.*Build ID: //p'", (int)getpid());
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	bool told = fgets(out, sizeof(out), pipe) != NULL;
	pclose(pipe);
	if (!told)
		skip(); /* no readelf */
	out[strcspn(out, "\n")] = '\0';
	assert_string_equal(id, out);
}

static void redacts(const char *text, const char *expected)
{
	char *made = shunt_env_redact(text);

	assert_non_null(made);
	assert_string_equal(made, expected);
	free(made);
}

static void paths_are_redacted(void **state)
{
	(void)state;
	redacts("", "");
	redacts("/home/jo/data.bin", "<path>");
	redacts("input=/home/jo/data.bin,k=2", "input=<path>,k=2");
	redacts("cannot read '/tmp/x y'", "cannot read '<path> y'");
	redacts("1/s and 3/4, <a></a> <b/> // ./rel/x ../up",
		"1/s and 3/4, <a></a> <b/> // ./rel/x ../up");
	redacts("\"/a\":\"/b\"", "\"<path>\":\"<path>\"");
	redacts("/", "/");
}

static void names_are_redacted_as_words(void **state)
{
	char host[256] = "", text[1024], expected[1024];

	(void)state;
	gethostname(host, sizeof(host) - 1);
	setenv("USER", "jo-ann", 1);
	redacts("jo-ann's run, not jo-anne's", "<user>'s run, not jo-anne's");
	if (!*host || !strcmp(host, "localhost") || !strcmp(host, "root"))
		return;
	snprintf(text, sizeof(text), "on %s: x%s %s", host, host, host);
	snprintf(expected, sizeof(expected), "on <host>: x%s <host>", host);
	redacts(text, expected);
}

static void a_redacted_manifest_has_neither(void **state)
{
	struct shunt_env *env = sealed("", "see /home/jo/x", true);
	struct shunt_env *plain = sealed("", "see /home/jo/x", false);
	char *text = json_dumps(json_object_get(shunt_env_json(env), "facts"), JSON_COMPACT);
	char host[256] = "";

	(void)state;
	gethostname(host, sizeof(host) - 1);
	assert_true(shunt_env_redacted(env));
	assert_null(strstr(text, "/home"));
	assert_string_equal(json_string_value(json_object_get(fact_of(env, "test.fact"), "value")),
		"see <path>");
	if (*host && strcmp(host, "localhost") && strcmp(host, "root"))
		assert_string_equal(json_string_value(
					    json_object_get(fact_of(env, "machine.hostname"),
						    "value")),
			"<host>");
	assert_string_not_equal(shunt_env_id(env), shunt_env_id(plain));
	assert_string_equal(shunt_env_machine_class(env), shunt_env_machine_class(plain));
	free(text);
	shunt_env_free(env);
	shunt_env_free(plain);
}

static void it_is_written_once(void **state)
{
	struct shunt_env *env = sealed(NULL, "x", false);
	char folder[] = "/tmp/shunt-env-XXXXXX", path[192], command[64];
	struct shunt_error err = {""};
	struct stat first, second;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(shunt_env_write(env, folder, &err), 0);
	snprintf(path, sizeof(path), "%s/env/%s.json", folder, shunt_env_id(env));
	assert_int_equal(stat(path, &first), 0);
	assert_int_equal(shunt_env_write(env, folder, &err), 0);
	assert_int_equal(stat(path, &second), 0);
	assert_int_equal(first.st_ino, second.st_ino);
	json_t *back = json_load_file(path, 0, NULL);
	assert_true(json_equal(back, shunt_env_json(env)));
	json_decref(back);
	/* What a full disk or a crash left is no manifest. */
	for (off_t left = 0; left < 200; left += 100) {
		assert_int_equal(truncate(path, left), 0);
		assert_int_equal(shunt_env_write(env, folder, &err), 0);
		back = json_load_file(path, 0, NULL);
		assert_true(json_equal(back, shunt_env_json(env)));
		json_decref(back);
	}
	assert_true(shunt_env_write(env, "/tmp/shunt-no-such-folder", &err) < 0);
	assert_non_null(strstr(err.text, "mkdir -p"));
	shunt_env_free(env);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_fact_is_a_value_with_a_source_or_a_reason),
		cmocka_unit_test(the_same_machine_gives_the_same_id),
		cmocka_unit_test(passing_facts_are_not_hashed),
		cmocka_unit_test(a_sealed_manifest_takes_nothing_more),
		cmocka_unit_test(an_absent_fact_says_why),
		cmocka_unit_test(a_machine_that_says_nothing_is_all_absent),
		cmocka_unit_test(the_build_id_is_the_one_in_the_file),
		cmocka_unit_test(paths_are_redacted),
		cmocka_unit_test(names_are_redacted_as_words),
		cmocka_unit_test(a_redacted_manifest_has_neither),
		cmocka_unit_test(it_is_written_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
