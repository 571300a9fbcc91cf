/* SPDX-License-Identifier: MIT */
/*
 * The CPU quota of a control group: an amount of processor time, on any CPUs.
 *
 * It is not a set of CPUs, so it binds no worker. But workers beyond the quota only wait for each
 * other. So it bounds workers=all, and a run with more workers has a caveat.
 */
#ifndef SHUNT_BACKENDS_PLACE_QUOTA_H
#define SHUNT_BACKENDS_PLACE_QUOTA_H

/* CPUs' worth of time, rounded up, that this process's group and those above it allow: cgroup v2's
 * cpu.max, or v1's cpu.cfs_quota_us. UINT_MAX: no limit. */
unsigned shunt_place_quota(void);

#endif
