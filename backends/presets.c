/* SPDX-License-Identifier: MIT */
/*
 * Every named composition of the engine, one line each. Any setting can be overridden in a spec:
 * `asm:wait=epoll`, `mn:workers=2,policy=shared`. Each has its line in CMakeLists.txt too, where
 * the library it cannot do without is named.
 *
 * Why timers=heap: the wheel costs an eighth less CPU a timer where 10,000 tasks sleep for one
 * period, and no more or less where periods differ; but it wakes them later (p99 1.1 ms against
 * 0.14), and when 100,000 of these move down a level at once, the timers behind them wait: 3.6 ms
 * against 0.04 (shunt run asm:timers=wheel timers tasks=100k period=100ms spread=50ms sleeps=6
 * skip=2).
 */
#include "core/engine/engine.h"

SHUNT_PRESET(ucontext, "ucontext", "one worker, switches by glibc's swapcontext",
	"switch=ucontext wait=futex timers=heap policy=fifo place=none workers=1");

SHUNT_PRESET(asm, "asm", "one worker, switches in assembly: the reference",
	"switch=asm wait=futex timers=heap policy=fifo place=none workers=1");

SHUNT_PRESET(uring, "uring", "one worker that sleeps in io_uring until the nearest deadline",
	"switch=asm wait=uring timers=heap policy=fifo place=none workers=1");

SHUNT_PRESET(uring_each, "uring-each", "one worker, every sleep its own io_uring timeout",
	"switch=asm wait=uring-each policy=fifo place=none workers=1");

SHUNT_PRESET(mn, "mn", "many workers, each pinned to a core of its own, stealing from each other",
	"switch=asm wait=futex timers=heap policy=steal place=core workers=all");

SHUNT_PRESET(sim, "sim", "virtual time: any number of workers that take turns on one thread",
	"switch=asm wait=virtual timers=heap policy=steal place=none workers=1 nap=0 fence=full");
