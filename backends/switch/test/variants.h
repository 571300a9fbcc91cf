/* SPDX-License-Identifier: MIT */
/*
 * Every switch of the registry with every value of its `fp`, for tests that say what must hold for
 * all of them. Assertions belong on the thread's own stack: cmocka leaves a failed one by longjmp.
 */
#ifndef SHUNT_BACKENDS_SWITCH_TEST_VARIANTS_H
#define SHUNT_BACKENDS_SWITCH_TEST_VARIANTS_H

#include "core/engine/slots.h"
#include "core/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Enough for a ucontext_t of aarch64 (4.5 KiB) in each of a few frames, and for sanitizers. */
#define STACK_BYTES ((size_t)64 << 10)

typedef void variant_fn(const struct shunt_switch_ops *ops);

/* load: a value of fp_load, or NULL for its default. -EINVAL: the switch has no such parameter. */
static inline int variant_resolve(const struct shunt_switch *of, const char *fp, const char *load,
	struct shunt_switch_ops *ops, struct shunt_error *err)
{
	struct shunt_values values;
	int failed = shunt_values_init(&values, of->params, err);

	assert_int_equal(failed, 0);
	assert_int_equal(shunt_values_set(&values, of->name, "fp", fp, err), 0);
	if (load && shunt_values_set(&values, of->name, "fp_load", load, err))
		failed = -EINVAL;
	else
		failed = of->resolve(&values, ops, err);
	shunt_values_fini(&values);
	return failed;
}

/* Calls each() for every switch this machine can run, with every fp and fp_load it knows. */
static inline void for_each_variant(variant_fn *each)
{
	static const struct {
		const char *fp, *load;
	} of_each[] = {{"full", NULL}, {"mxcsr", NULL}, {"none", NULL}, {"full", "compare"},
		{"mxcsr", "compare"}, {"full", "always"}, {"mxcsr", "always"}};
	unsigned count = 0;

	for (const struct shunt_plugin *entry = shunt_registry_switches; entry->name; entry++) {
		const struct shunt_switch *of = entry->object;

		if (!of || (of->probe && of->probe(NULL)))
			continue;
		for (size_t i = 0; i < sizeof(of_each) / sizeof(of_each[0]); i++) {
			struct shunt_switch_ops ops;
			const char *fp = of_each[i].fp, *load = of_each[i].load;
			int failed = variant_resolve(of, fp, load, &ops, NULL);

			if (i && (failed == -ENOTSUP || (load && failed == -EINVAL)))
				continue;
			assert_int_equal(failed, 0);
			assert_string_equal(ops.fp, fp);
			if (load && ops.fp_load)
				assert_string_equal(ops.fp_load, load);
			print_message("  %s fp=%s fp_load=%s\n", of->name, fp,
				load ? load : "auto");
			each(&ops);
			count++;
		}
	}
	assert_true(count > 0);
}

static inline void *stack_new(void)
{
	void *low = aligned_alloc(64, STACK_BYTES);

	assert_non_null(low);
	return low;
}

#endif
