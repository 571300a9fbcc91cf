/* SPDX-License-Identifier: MIT */
/* The calibration of shunt_work_ns (core/sched.h), for whoever must have it over with in time. */
#ifndef SHUNT_CORE_WORK_H
#define SHUNT_CORE_WORK_H

/* Calibrates if need be, which takes about a millisecond; returns rounds of work per nanosecond. */
double shunt_work_calibrate(void);

#endif
