/* SPDX-License-Identifier: MIT */
/* A root task on a spec, for tests of stacks. cmocka's headers come before this one. */
#ifndef SHUNT_CORE_ENGINE_TEST_RUN_ON_H
#define SHUNT_CORE_ENGINE_TEST_RUN_ON_H

#include "core/sched.h"

static struct shunt_error err;

static int run_on(const char *spec, shunt_task_fn *root, void *arg)
{
	struct shunt_sched *sched;
	int rc = shunt_open(&sched, spec, NULL, &err);
	if (rc)
		fail_msg("%s: %s", spec, err.text);
	rc = shunt_run(sched, root, arg, NULL, &err);
	shunt_close(sched);
	return rc;
}

#endif
