/* SPDX-License-Identifier: MIT */
/*
 * The CPU quota of a control group: so much processor time, on whichever CPUs.
 *
 * It is no set of CPUs, so no worker is bound by it; but more workers than it pays for only wait for
 * each other, so it bounds workers=all and more of them are said to be too many.
 */
#ifndef SHUNT_BACKENDS_PLACE_QUOTA_H
#define SHUNT_BACKENDS_PLACE_QUOTA_H

/* CPUs' worth of time, rounded up, that this process's group and those above it allow: cgroup v2's
 * cpu.max, or v1's cpu.cfs_quota_us. UINT_MAX: no limit. */
unsigned shunt_place_quota(void);

#endif
