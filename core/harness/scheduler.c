/* SPDX-License-Identifier: MIT */
/*
 * The scheduler of a run, opened and closed. A failure to open is the user's mistake or the
 * machine's.
 */
#include "core/harness/run.h"

#include <string.h>

bool shunt_run_is_usage_error(int rc)
{
	return rc == -ENOENT || rc == -EINVAL || rc == -ERANGE;
}

void shunt_run_cannot_open(struct shunt_run *run, int rc, const struct shunt_error *err)
{
	bool short_of = rc == -ENOMEM || rc == -EAGAIN || rc == -EMFILE || rc == -ENFILE;

	shunt_run_end(run, short_of ? SHUNT_RECORD_FAILED : SHUNT_RECORD_SKIPPED, "%s",
		err->text[0] ? err->text : strerror(-rc));
}

int shunt_run_open(struct shunt_run *run, const struct shunt_config *base, struct shunt_error *err)
{
	int rc = shunt_spec_open(&run->sched, &run->spec, base, err);

	if (rc == 0)
		return 0;
	run->sched = NULL;
	if (shunt_run_is_usage_error(rc))
		return rc;
	shunt_run_cannot_open(run, rc, err);
	return 0;
}

void shunt_run_close(struct shunt_run *run)
{
	shunt_close(run->sched);
	run->sched = NULL;
}
