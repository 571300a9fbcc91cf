#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""If this passes, the tests of the engine, and of the open loop, notice each of the mistakes listed here.

A mutant is one mistake in one file of the engine: a check left out, a step taken too early. Each is
compiled with the build's own flags and linked into a test in place of the original; that test must
then fail, crash or hang. One that survives fails this test, and so does one whose text is no longer in
the file: the list is then out of date. First every test must pass unchanged under the same limits.

It does not look for mistakes that the processor hides: on x86 the fences of the idle protocol stand
behind locked instructions that order as much. model_park.c and model_deque.c explore those.

    mutants.py BUILD_FOLDER [WORD]      only the mutants that have WORD in their name
    mutants.py --listed                 nothing is built: is each one's text still in its file?
"""
from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SLICE_MS = "14000"      # of SHUNT_TORTURE_MS; the torture tests give each composition a fourteenth
LIMIT_S = 200           # for one run of an original; they need one or two, on a busy machine more
PATIENCE = 4            # a mutant hangs if it takes so many times as long as its original, and LEAST_S
LEAST_S = 3
TRIES = 8               # a mistake in a race may need more than one run to show
MORE_TRIES = 24         # alone, of one that has survived beside others
AT_ONCE = 4             # many a mutant hangs, and is waited for

SKIPPED = 77


@dataclass
class Mutant:
    name: str
    file: str           # where the mistake is
    old: str
    new: str
    test: str           # the executable that must fail, and the composition it runs on
    spec: str
    units: tuple[str, ...] = ()     # of a header: the sources to compile with it
    also: tuple[str, str, str] | None = None    # file, old, new of a second guard against the same


STEAL = "backends/policy/steal.c"
SHARED = "backends/policy/shared.c"
TASK = "core/task.h"
DEQUE = "core/engine/deque.h"
TORTURE_DEQUE = "core/engine/test/torture_deque.c"
KEYED = "core/engine/keyed.h"
EDF = "backends/policy/edf.c"
SRPT = "backends/policy/srpt.c"
MLFQ = "backends/policy/mlfq.c"
EEVDF = "backends/policy/eevdf.c"
DARC = "backends/policy/darc.c"
SLICE = "core/engine/slice.c"
REPORT = "workloads/openloop_report.c"
HEAP = "backends/timers/heap.c"
EACH = "backends/wait/uring-each.c"
# A queue that does not ask whether an entry's wait is over leaves that to the claim.
HEAP_FIRES_ALL = (HEAP, "if (!shunt_timer_is_live(&due[i])) {", "if (false) {")
CAS_ON_TOP = """if (!atomic_compare_exchange_strong_explicit(&deque->top, &top, top + 1,
{0}memory_order_seq_cst, memory_order_relaxed)) """

MUTANTS = [
    # ---- the task word
    Mutant("a timer ends whatever its task waits for now", "core/engine/timer.c",
           "shunt_task_claim(task, timer->ticket, -ETIMEDOUT,",
           "shunt_task_claim(task, shunt_word_load(task, true) & SHUNT_WORD_TICKET, -ETIMEDOUT,",
           "torture_timeout", "asm", ("core/engine/timer.c", HEAP), HEAP_FIRES_ALL),
    Mutant("a wake does not look at the generation", TASK,
           "(word & SHUNT_WORD_GENERATION) != generation || state == SHUNT_TASK_FREE",
           "state == SHUNT_TASK_FREE",
           "conformance", "asm", ("core/sched.c",)),
    Mutant("a wake ends a wait that is no park", TASK,
           "uint64_t next = state == SHUNT_TASK_PARKED ? shunt_word_with_state(word,",
           "if (state == SHUNT_TASK_BLOCKED)\n\t\t\tstate = SHUNT_TASK_PARKED;\n"
           "\t\tuint64_t next = state == SHUNT_TASK_PARKED ? shunt_word_with_state(word,",
           "torture_resume", "asm", ("core/sched.c",)),
    Mutant("the permit is not kept", TASK,
           ": word | SHUNT_WORD_PERMIT;", ": word;",
           "conformance", "asm", ("core/sched.c", "core/engine/inbox.c")),
    Mutant("a park leaves the permit where it is", TASK,
           "shunt_word_store(task, permit ? word & ~SHUNT_WORD_PERMIT",
           "shunt_word_store(task, permit ? word",
           "conformance", "asm", ("backends/policy/fifo.c",)),
    Mutant("commit forgets a claim made before it", TASK,
           ": state == SHUNT_TASK_BLOCKING ? SHUNT_TASK_BLOCKED : SHUNT_TASK_RUNNABLE;",
           ": SHUNT_TASK_BLOCKED;",
           "torture_timeout", "asm:workers=2,policy=shared", ("core/engine/life.c",)),
    Mutant("commit takes a timer's claim for a waker's", TASK,
           "task->value = state == SHUNT_TASK_LATE ? (uintptr_t)(intptr_t)-ETIMEDOUT : 0;\n"
           "\t\treturn true;",
           "task->value = 0;\n\t\treturn true;",
           "torture_timeout", "asm:workers=4,policy=steal,interval=1", ("core/engine/life.c",)),
    # ---- leaving a stack
    Mutant("a task that yields is queued before its registers are saved", "core/engine/hooks.h",
           "shunt_switch(worker, current, next, post);\n\t} else {",
           "post(current);\n\t\tshunt_switch(worker, current, next, NULL);\n\t} else {",
           "torture_resume", "asm:workers=2,policy=shared", (SHARED,)),
    Mutant("a task that blocks can be resumed before its registers are saved", "core/engine/hooks.h",
           "return shunt_switch(worker, current, next, many ? shunt_life_commit : NULL);",
           "if (many)\n\t\tshunt_life_commit(current);\n"
           "\treturn shunt_switch(worker, current, next, NULL);",
           "torture_resume", "asm:workers=4,policy=steal,interval=1", (STEAL,)),
    Mutant("a task that picked itself switches to itself", "core/engine/hooks.h",
           "if (serviced && next == current) {", "if (false && serviced) {",
           "torture_timeout", "asm:interval=1", ("backends/policy/fifo.c",)),
    # ---- step tasks
    Mutant("a step can be called again before it has returned", "core/engine/step.c",
           "task->step = SHUNT_STEP_WAITS;\n\treturn",
           "task->step = SHUNT_STEP_WAITS;\n\textern shunt_post_fn shunt_life_commit;\n"
           "\ttask->worker = shunt_worker_of(ctx);\n\tif (ctx->many)\n\t\tshunt_life_commit(task);\n\treturn",
           "torture_step", "asm:workers=2,policy=steal"),
    Mutant("a step's wait is not committed when it has returned", "core/engine/hooks.h",
           "task->worker = worker;\n\t\t\tshunt_life_commit(task);", "task->worker = worker;",
           "torture_step", "asm:workers=2,policy=shared", (SHARED,)),
    Mutant("a step that yields does not keep its errno", "core/engine/hooks.h",
           "task->saved_errno = *worker->errno_at;\n\tworker->ctx.current = next;", "worker->ctx.current = next;",
           "conformance", "asm", ("backends/policy/fifo.c",)),
    Mutant("a task that gives way to a step is not queued", "core/engine/switch.c",
           "shunt_swap(worker, from, &worker->loop, post)", "shunt_swap(worker, from, &worker->loop, NULL)",
           "torture_step", "asm:workers=2,policy=shared"),
    Mutant("an ended task's stack goes to a step", "core/engine/life.c",
           "if (next && !next->sp && !next->step) {", "if (next && !next->sp) {",
           "conformance", "asm"),
    Mutant("a descriptor stays a step task's", "core/engine/step.c",
           "task->step = 0;", "",
           "conformance", "asm"),
    Mutant("a step that gave up stays on the list", "core/sync/waiters.h",
           "if (rc < 0) {", "if (rc < 0 && !self->step) {",
           "conformance", "asm", ("core/sync/semaphore.c", "core/sync/mutex.c")),
    Mutant("a step task is left in the middle of its step", "core/engine/service.c",
           "|| task == &worker->dying || task->step)", "|| task == &worker->dying)",
           "failed_run", ""),
    Mutant("steps go on after their run has failed", "core/engine/step.c",
           "return !shunt_halt_has_failed(worker->engine);", "return true;",
           "failed_run", ""),
    # ---- idleness and inboxes
    Mutant("a worker falls asleep without looking again", "core/engine/idle.c",
           "if (!inboxes_empty(worker) || engine->policy->has_ready(worker) || anything_to_steal(engine))",
           "if (anything_to_steal(engine))",
           "torture_wake", "asm:workers=2,policy=fifo"),
    Mutant("a push into an inbox does not wake its owner", "core/engine/ready.c",
           "if (shunt_wake_poke(target, from) || !target->env.others_may_take)\n\t\treturn;", "(void)from;\n\treturn;",
           "torture_wake", "asm:workers=2,policy=fifo"),
    Mutant("a worker goes to sleep unannounced", "core/engine/idle.c",
           "atomic_store_explicit(&worker->idle, SHUNT_SLEEPS, memory_order_release);\n"
           "\tpthread_mutex_unlock(&engine->idle_lock);", "pthread_mutex_unlock(&engine->idle_lock);",
           "torture_wake", "asm:workers=2,policy=fifo"),
    Mutant("nobody idle hears of what a busy worker got from outside", "core/engine/ready.c",
           "if (idle)\n\t\tshunt_wake_poke(idle, from);", "(void)idle;",
           "idle_helps", ""),
    Mutant("nobody idle empties a busy worker's inbox", "core/engine/idle.c",
           "shunt_inbox_drain(worker, engine->workers[i]);", "(void)engine;",
           "idle_helps", ""),
    Mutant("nobody idle fires a busy worker's timers", "core/engine/idle.c",
           "if (other != worker && shunt_timer_deadline_of(other) <= now) {", "if (false) {",
           "idle_helps", ""),
    Mutant("outside: a task stays where its descriptor lay", "core/engine/inbox.c",
           "return stays && shunt_ready_home(worker->engine, task) != worker;", "return stays && !worker;",
           "outside_spawn", ""),
    Mutant("outside: a run that failed takes tasks", "core/engine/external.c",
           "shunt_halt_has_failed(engine) ? -ECANCELED", "false ? -ECANCELED",
           "outside_spawn", ""),
    Mutant("outside: a task on its way is a deadlock", "core/engine/verdict.c",
           "else if (quiet_outside(engine))", "else if ((void)quiet_outside, true)", "outside_spawn", ""),
    Mutant("outside: a larger heap is no larger", KEYED,
           "keyed->capacity = larger->capacity;", "", "outside_spawn", "", (EDF, SRPT)),
    Mutant("a task of a failed run goes on", "core/engine/service.c",
           "if (SHUNT_UNLIKELY(shunt_halt_has_failed(engine))) leave_task(worker);",
           "(void)leave_task;", "failed_run", ""),
    Mutant("tasks of a failed run follow each other", "core/engine/life.c",
           "failed = shunt_halt_has_failed(engine);", "(void)failed;", "failed_run", ""),
    Mutant("a second run is let in beside the first", "core/sched.c",
           "if (__atomic_exchange_n(&sched->running, 1, __ATOMIC_ACQUIRE))", "if (false)",
           "engine_basic", ""),
    Mutant("all workers search", "core/engine/thief.c",
           "searchers_most(engine)) {", "engine->worker_count) {",
           "victims", ""),
    Mutant("who knows of a deadline goes to work and tells nobody", "core/engine/idle.c",
           "return deadline != SHUNT_NEVER && !is_watched(worker, deadline);", "(void)is_watched;\n\treturn false;",
           "idle_helps", ""),
    Mutant("who was told of an inbox goes to work and tells nobody", "core/engine/idle.c",
           "if (worker->env.others_may_take && !inboxes_empty(worker))\n"
           "\t\treturn true;\n\tif (engine->worker_count < 3",
           "if (engine->worker_count < 3", "idle_helps", ""),
    Mutant("who has left still watches", "core/engine/idle.c",
           "set_watch(worker, SHUNT_NEVER);\n\t\tshunt_timer_flush_fired(worker);\n\t\twork =",
           "shunt_timer_flush_fired(worker);\n\t\twork =",
           "idle_helps", ""),
    Mutant("a worker that goes on tells no napping one of its deadline", "core/engine/timer.c",
           "if (other)\n\t\tshunt_wake_poke(other, worker);", "(void)other;",
           "nap_disturbed", ""),
    Mutant("the mark of an injected task is not cleared", "core/engine/inbox.c",
           "atomic_exchange_explicit(&task->injected, 0, memory_order_acq_rel);",
           "atomic_load_explicit(&task->injected, memory_order_acquire);",
           "torture_wake", "asm:workers=2,policy=fifo"),
    Mutant("work is offered to nobody", "core/engine/wake.h",
           "memory_order_relaxed) != 0))\n\t\tshunt_wake_notify(worker);", "memory_order_relaxed) != 0))\n\t\treturn;",
           "torture_wake", "asm:workers=2,policy=steal,nap=0", (STEAL,)),
    Mutant("a worker goes to sleep and nobody counts it", "core/engine/idle.c",
           "fence below. */\n\tatomic_store_explicit(&engine->idle_count, engine->idle_workers,"
           " memory_order_relaxed);", "fence below. */",
           "torture_wake", "asm:workers=2,policy=steal,nap=0"),
    Mutant("a nap ends only with a timer", "core/engine/idle.c",
           "commit(worker->wait, deadline < until ? deadline : until)", "commit(worker->wait, deadline)",
           "torture_wake", "asm:workers=2,policy=steal"),
    Mutant("a nap that nobody can disturb", "core/engine/idle.c",
           "atomic_store_explicit(&worker->idle, SHUNT_NAPS, memory_order_release);\n"
           "\tprepare_sleep(worker);\n\t/* Sequentially consistent: forbids that the inbox",
           "prepare_sleep(worker);\n\t/* Sequentially consistent: forbids that the inbox",
           "nap_disturbed", ""),
    Mutant("a single ready task is never stolen", STEAL,
           "(ready == 1 && !gets_to_it(victim))", "(ready < 0 && !gets_to_it(victim))",
           "torture_wake", "asm:workers=2,policy=steal"),
    Mutant("an armed deadline is told to nobody", "core/engine/timer.c",
           "if (earliest)\n\t\t\tpublish_deadline(worker, deadline_ns);", "",
           "torture_timeout", "asm"),
    # ---- whom a thief asks
    Mutant("a worker is never stolen from", STEAL,
           "if (attempt >= count - (state->order != NULL))", "if (attempt >= count - 1 - (state->order != NULL))",
           "victims", ""),
    Mutant("the nearest are asked last", STEAL,
           "return a->distance < b->distance ? -1 : 1;", "return a->distance > b->distance ? -1 : 1;",
           "victims", ""),
    Mutant("of those equally near always the same is asked first", STEAL,
           "(attempt - at->first + state->turn) % at->count", "(attempt - at->first) % at->count",
           "victims", ""),
    # ---- the slot
    Mutant("what is in the slot cannot be stolen", STEAL,
           "task = slot_swap(state, NULL, true);", "task = NULL;",
           "victims", ""),
    Mutant("who goes to sleep does not look into slots", STEAL,
           "shunt_deque_count(state->behind) ||\n\t       atomic_load_explicit(&state->slot, memory_order_relaxed);",
           "shunt_deque_count(state->behind);",
           "torture_wake", "asm:workers=2,policy=steal,policy.lifo_slot=3,nap=0"),
    Mutant("a slot is emptied without asking", STEAL,
           "if (others)\n", "if (false)\n",
           "torture_resume", "asm:workers=3,policy=steal,policy.lifo_slot=3,policy.victim=near"),
    Mutant("the slot has no cap", STEAL,
           "!fair && state->in_a_row < state->slot_most &&", "!fair &&",
           "lifo_slot", ""),
    Mutant("a displaced task is still first", STEAL,
           "if (task)\n\t\tpush(state->behind, task);\n}", "if (task)\n\t\tpush(state->ready, task);\n}",
           "lifo_slot", ""),
    # ---- sync objects and joins
    Mutant("a mutex that is handed over is free meanwhile", "core/sync/mutex.c",
           "give_to(mutex, granted.task);", "give_to(mutex, NULL);",
           "torture_sync", "asm:workers=2,policy=shared"),
    Mutant("a mutex knows its owner by the descriptor alone", "core/sync/waiters.h",
           "mutex->owner.generation == shunt_task_generation(ctx->current)", "true",
           "conformance", "", ("core/sync/mutex.c", "core/sync/condition.c")),
    Mutant("a receiver that makes room lets no sender in", "core/sync/channel.c",
           "if (granted->task)\n\t\t\tring_put(channel, granted->value);",
           "if (granted->task) {\n\t\t\tring_put(channel, granted->value);"
           "\n\t\t\tgranted->task = NULL;\n\t\t}",
           "torture_sync", "asm:workers=2,policy=steal"),
    Mutant("a waiter whose deadline came first is made ready all the same", "core/sync/waiters.h",
           "if (shunt_waiter_claim(task, many))", "if (shunt_waiter_claim(task, many) || true)",
           "torture_sync", "asm:workers=2,policy=steal", ("core/sync/channel.c", "core/sync/mutex.c")),
    Mutant("an ended task is kept for a joiner that has given up", "core/join.c",
           "if (claim == SHUNT_CLAIM_STALE)\n"
           "\t\t\tjoiner_set(task, generation | SHUNT_JOINER_ENDED);", "",
           "torture_sync", "asm:workers=2,policy=steal"),
    Mutant("a host does not look for guests", "core/join.c",
           "if (__builtin_expect(!__atomic_load_n(&ctx->guests, __ATOMIC_ACQUIRE), 1))", "if (true)",
           "torture_guest", "asm:workers=2,policy=fifo,interval=1"),
    Mutant("whoever is at another worker's word is its host", "core/join.c",
           "if (!host || host != ctx->host)", "if (!host)",
           "torture_guest", "asm:workers=2,policy=fifo,interval=1"),
    Mutant("a worker's full list of descriptors is forgotten", "core/engine/task_pool.c",
           "put_list(engine, worker->free_full);\n\t\tpthread",
           "pthread", "descriptors", ""),
    Mutant("stacks promised to outside tasks are kept", "core/engine/life.c",
           "worker->credits > worker->credits_most", "false", "descriptors", ""),
    Mutant("what a short nap saw is the victim's pace", "core/engine/thief.c",
           "if (doubtful(thief, switches, slept_ns)) {", "(void)doubtful;\n\tif (false) {",
           "nap_pace", ""),
    Mutant("a thief doubts for ever", "core/engine/thief.c",
           "return slept_ns < thief->engine->nap_most_ns / DOUBT_SHARE &&\n\t       expected", "return expected",
           "nap_pace", ""),
    Mutant("a wary thief never tries again", "core/engine/thief.c",
           "thrift->wary = thrift->looks && thrift->base >= least && thrift->base <= most;\n"
           "\tthrift->looks = thrift->wary ? thrift->looks - 1 : 0;",
           "(void)least;\n\t(void)most;\n\tthrift->wary = thrift->looks;",
           "wary_thief", "", ("core/engine/thief.c", STEAL),
           (STEAL, "!has_waited(thief, state)", "true")),
    Mutant("a thief that is wary once stays so", "core/engine/thief.c",
           "thrift->wary = false;", "", "wary_thief", "", ("core/engine/thief.c", STEAL),
           (STEAL, "!has_waited(thief, state)", "true")),
    Mutant("a run that has ended waits for a nap", "core/engine/verdict.c",
           "shunt_wake_poke(engine->workers[i], from);\n}\n\n/* Tasks are left",
           "(void)from;\n}\n\n/* Tasks are left", "nap_end", ""),
    # ---- the deque
    Mutant("the owner does not reckon with thieves", DEQUE,
           "if (__builtin_expect(!atomic_load_explicit(&deque->thieves, memory_order_acquire), 1)) {",
           "if (true) {",
           "torture_deque", "", (TORTURE_DEQUE,)),
    Mutant("a thief of several claims one", DEQUE,
           "top + (int64_t)count,", "top + 1,",
           "torture_deque", "", (TORTURE_DEQUE,)),
    Mutant("the owner takes the last element without asking", DEQUE,
           CAS_ON_TOP.format("\t\t\t").rstrip() + "\n\t\t\telement = NULL;",
           "atomic_store_explicit(&deque->top, top + 1, memory_order_seq_cst);",
           "torture_deque", "", (TORTURE_DEQUE,)),
    Mutant("a thief takes without asking", DEQUE,
           CAS_ON_TOP.format("\t\t") + "{\n\t\t*lost = true;\n\t\treturn NULL;\n\t}",
           "(void)lost;\n\tatomic_store_explicit(&deque->top, top + 1, memory_order_seq_cst);",
           "torture_deque", "", (TORTURE_DEQUE,)),
    # ---- policies with keys, and slices
    Mutant("equal keys are not in order of arrival", KEYED,
           "a->key != b->key ? a->key < b->key : a->arrival < b->arrival",
           "a->key < b->key",
           "policy_order", "", (EDF,)),
    Mutant("the heap sinks into the larger child", KEYED,
           "shunt_keyed_before(&heap[child + 1], &heap[child])",
           "shunt_keyed_before(&heap[child], &heap[child + 1])",
           "policy_order", "", (SRPT,)),
    Mutant("a yielding task goes on before its equals", KEYED,
           "shunt_keyed_first(keyed) <= current->key", "shunt_keyed_first(keyed) < current->key",
           "policy_order", "", (EDF,)),
    Mutant("the least urgent class first", "backends/policy/prio.c",
           "int class = ready ? __builtin_ctzll(ready) : PRIO_CLASSES;",
           "int class = ready ? 63 - __builtin_clzll(ready) : PRIO_CLASSES;",
           "policy_order", ""),
    Mutant("a class beyond the last is an index", "backends/policy/prio.c",
           "return class < PRIO_CLASSES ? class : PRIO_CLASSES - 1;", "return class % PRIO_CLASSES;",
           "policy_order", ""),
    Mutant("no deadline is the earliest", EDF,
           "attr && attr->deadline_ns ? attr->deadline_ns : SHUNT_KEY_LAST",
           "attr ? attr->deadline_ns : SHUNT_KEY_LAST",
           "policy_order", ""),
    Mutant("what a task ran is not taken off", SRPT,
           "int64_t left = task->key - worker->env.ran_ns;", "int64_t left = task->key;",
           "policy_charge", ""),
    Mutant("a wait is charged", SLICE,
           "stamp(worker);\n\tshunt_slice_begin(worker, next);", "shunt_slice_begin(worker, next);",
           "policy_charge", ""),
    Mutant("a task that blocks is not charged", "core/engine/hooks.h",
           "if (STAMPED) \\ shunt_slice_end(shunt_worker_of(ctx)); \\"
           "if (SHUNT_UNLIKELY(shunt_due(shunt_worker_of(ctx)))) \\ return P##_leave_slow",
           "if (SHUNT_UNLIKELY(shunt_due(shunt_worker_of(ctx)))) \\\n\t\t\treturn P##_leave_slow",
           "policy_charge", "", (SRPT,)),
    Mutant("a less urgent task preempts", KEYED,
           "keyed->count && shunt_keyed_first(keyed) < current->key",
           "keyed->count && shunt_keyed_first(keyed) <= current->key",
           "policy_charge", "", (EDF,)),
    Mutant("a quantum goes on over a yield", SLICE,
           "worker->slice_ns = worker->stamp_ns;",
           "if (!worker->slice_ns)\n\t\tworker->slice_ns = worker->stamp_ns;",
           "quantum", ""),
    Mutant("a quantum ends with nobody else there", SLICE,
           "return worker->engine->policy->has_ready(worker);", "return true;",
           "quantum", ""),
    Mutant("the end of a quantum does not look at timers", SLICE,
           "if (deadline <= now_ns || asked_to_look(worker))",
           "(void)deadline, (void)now_ns;\n\tif (asked_to_look(worker))",
           "quantum", ""),
    Mutant("the policy's quantum is not asked for", SLICE,
           "if (!engine->policy->quantum)", "if (true)",
           "policy_mlfq", ""),
    Mutant("mlfq: a task is never demoted", MLFQ,
           "part.level + 1u < mlfq->levels && used_ns >=", "false && used_ns >=",
           "policy_mlfq", ""),
    Mutant("mlfq: a boost never happens", MLFQ,
           "if (now_ns >= mlfq->boost_at_ns) {", "if (false && now_ns) {",
           "policy_mlfq", ""),
    Mutant("mlfq: a boost forgets those who are not ready", MLFQ,
           "(uint16_t)(mlfq->boosts + 1)", "mlfq->boosts",
           "policy_mlfq", ""),
    Mutant("eevdf: who has had more than its share runs", EEVDF,
           "if (from_of(task->key) <= eevdf->now) shunt_keyed_insert_at(&eevdf->eligible",
           "if (true)\n\t\tshunt_keyed_insert_at(&eevdf->eligible",
           "policy_eevdf", ""),
    Mutant("eevdf: a wait earns a share", EEVDF,
           "if (from_of(task->key) < eevdf->now)", "if (false)",
           "policy_eevdf", ""),
    Mutant("eevdf: what a task leaves goes to nobody", EEVDF,
           "if (lag > 0)", "if (false)",
           "policy_eevdf", ""),
    Mutant("darc: a reserved worker takes any type", DARC,
           "(uint32_t)(i >= first) << type", "(uint32_t)1 << type",
           "policy_darc", ""),
    Mutant("darc: a new division wakes nobody", DARC,
           "if (SHUNT_UNLIKELY(changed))", "if (false && changed)",
           "policy_darc", ""),
    Mutant("a worker that may not run the task is woken for it", "core/engine/wake.c",
           "while (sleeper && engine->policy->shared &&", "while (false &&",
           "policy_darc", ""),
    Mutant("who goes to sleep leaves it to a worker that may not run it", "core/engine/idle.c",
           "if (worker->env.others_may_take && worker->engine->policy->shared)", "if (false)",
           "policy_darc", ""),
    # ---- the open loop, whose tests must notice what would make its latencies look better
    Mutant("open loop: a response counts from the first run", REPORT,
           "request->ended_ns - intended_ns;", "request->ended_ns - request->started_ns;",
           "openloop", "asm"),
    Mutant("open loop: queueing counts from the injection", REPORT,
           "request->started_ns - intended_ns)", "request->started_ns - request->injected_ns)",
           "openloop", "asm"),
    Mutant("open loop: the backlog has no bound", "workloads/openloop_inject.c",
           "if (inside >= loop->backlog_limit) {", "if (inside > 1000 * loop->backlog_limit) {",
           "openloop", "asm"),
    Mutant("open loop: exponential variates have a mean of 1.05", "workloads/variates.c",
           "return value > UINT64_MAX ? UINT64_MAX : (uint64_t)value;",
           "return (uint64_t)(value + value / 20);",
           "queueing", "asm"),
    Mutant("open loop: exponential variates end after one whole", "workloads/variates.c",
           "if (odd)\n", "if (odd || whole)\n",
           "arrivals", "asm"),
    # ---- wait slots and the ticker
    Mutant("a wait with a relative timeout does not wait", "backends/wait/ring.c",
           "deadline_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;", "deadline_ns = 0;",
           "ring_refusal", "asm"),
    Mutant("a sleeping ring's eventfd is not written", "backends/wait/ring_slot.c",
           "shunt_wait_called_for(&self->calls, waker != NULL ? &waker->calls : NULL);\n"
           "\twrite_event(self->bell);", "", "wait_conformance", "asm"),
    Mutant("a ring goes to sleep although it was woken", "backends/wait/uring.c",
           "if (shunt_wait_word_sleep(&self->bell->word))",
           "shunt_wait_word_sleep(&self->bell->word);", "wait_conformance", "asm"),
    Mutant("results of before the kernel lost some are taken for new ones", EACH,
           "if ((result->user_data >> 32 & (ROUNDS - 1)) != self->round)\n\t\treturn SHUNT_NEVER;",
           "",
           "ring_faults", "asm"),
    Mutant("a tombstone's result is taken for a timer's", EACH,
           "if (table->entry[index].state != SHUNT_EACH_ARMED) {", "if (false) {",
           "wait_own_timers", "asm"),
    Mutant("a dense timer is rounded down", EACH,
           "(deadline_ns + self->grid_ns - 1) & -self->grid_ns", "deadline_ns & -self->grid_ns",
           "wait_own_timers", "asm"),
    Mutant("a cancelled timer fires when it comes due in the kernel", EACH,
           "if (!shunt_timer_is_live(&timer)) {\n\t\tself->dropped++;",
           "if (false) {\n\t\tself->dropped++;", "wait_own_timers", "asm"),
    Mutant("a cancelled timer fires that the kernel never saw", EACH,
           "if (!shunt_timer_is_live(&timer)) {\n\t\t\tshunt_each_free(table, index);",
           "if (false) {\n\t\t\tshunt_each_free(table, index);", "wait_own_timers", "asm"),
    Mutant("the heap fires a millisecond early", HEAP,
           "if (due_ns > now_ns)", "if (due_ns > now_ns + 1000000)", "timers_conformance", "asm"),
    Mutant("a timer goes behind one that is due later", HEAP,
           "heap->run[i].last_ns <= deadline_ns &&", "heap->run[i].last_ns <= deadline_ns + 1000000 &&",
           "timers_conformance", "asm"),
    Mutant("of two runs the one that is due later comes first", HEAP,
           "heap->run[i].front_ns < *due_ns", "heap->run[i].front_ns != SHUNT_NEVER",
           "timers_conformance", "asm"),
    Mutant("the ticker asks nobody to look", "core/engine/ticker.c",
           "if (own || deadline <= now)", "if (false)", "ticker", ""),
]


class Build:
    """One build folder, of make or ninja: how it compiles a source and links a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compiles: dict[str, tuple[Path, list[str]]] = {}
        for entry in json.loads((folder / "compile_commands.json").read_text()):
            words = shlex.split(entry["command"])
            if any(f"{part}.dir" in word for word in words
                   for part in ("shunt_core", "shunt_plugins", "test_torture_deque")):
                name = os.path.relpath(entry["file"], ROOT)
                self.compiles[name] = (Path(entry["directory"]), words)

    def compile(self, source: str, scratch: Path) -> tuple[Path, Path]:
        """Compiles `source` with the mutated files in `scratch`. The original's object, the new one."""
        directory, words = self.compiles[source]
        copy = scratch / source
        at = words.index("-o") + 1
        original = directory / words[at]
        new = scratch / (source.replace("/", "_") + ".o")
        instead = {str(ROOT / source): str(copy)} if copy.exists() else {}
        words = [instead.get(word, word) for word in words]
        words[at] = str(new)
        subprocess.run([words[0], f"-I{scratch}", *words[1:], "-w"], cwd=directory, check=True)
        return original, new

    def link_command(self, test: str) -> tuple[Path, list[str]]:
        for recipe in self.folder.rglob(f"test_{test}.dir/link.txt"):
            return recipe.parents[2], shlex.split(recipe.read_text())
        listed = subprocess.run(["ninja", "-t", "commands", f"test/test_{test}"], cwd=self.folder,
                                capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            for part in line.split("&&"):
                if f" -o test/test_{test} " in part:
                    return self.folder, shlex.split(part)
        raise SystemExit(f"mutants: no command links test_{test}")

    def link(self, test: str, replaced: dict[Path, Path], program: Path) -> None:
        directory, words = self.link_command(test)
        there = {os.path.realpath(original): str(new) for original, new in replaced.items()}
        words = [there.pop(os.path.realpath(directory / word), word) for word in words]
        if there:
            raise SystemExit(f"mutants: test_{test} is not linked with {', '.join(there)}")
        words[words.index("-o") + 1] = str(program)
        subprocess.run(words, cwd=directory, check=True)


def outcome(program: Path, spec: str, scratch: Path, limit_s: float = LIMIT_S) -> str:
    """How one run ended; empty: it passed."""
    env = os.environ | {"SHUNT_TORTURE_MS": SLICE_MS, "SHUNT_TORTURE_SPEC": spec, "SHUNT_MATRIX": spec}
    try:
        done = subprocess.run([program], env=env, timeout=limit_s, cwd=scratch,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return "hangs"
    if done.returncode < 0:
        return f"dies of signal {-done.returncode}"
    return f"fails with {done.returncode}" if done.returncode else ""


def places(text: str, old: str) -> list[tuple[int, int]]:
    """Where `old` is in `text`, from and to, whatever the layout of either."""
    kept = [at for at, char in enumerate(text) if not char.isspace()]
    bare, wanted = "".join(text[at] for at in kept), "".join(old.split())
    return [(kept[found.start()], kept[found.start() + len(wanted) - 1] + 1)
            for found in re.finditer(re.escape(wanted), bare)]


def mutate(mutant: Mutant, scratch: Path) -> str:
    """Writes the mutated files below `scratch`. What is wrong with the list, if anything."""
    for file, old, new in filter(None, ((mutant.file, mutant.old, mutant.new), mutant.also)):
        text = (ROOT / file).read_text()
        found = places(text, old)
        if len(found) != 1:
            return f"the list is out of date: its text is in {file} {len(found)} times, not once"
        copy = scratch / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text[:found[0][0]] + new + text[found[0][1]:])
    return ""


def try_original(folder: Path, test: str, spec: str) -> tuple[str, float]:
    """How it failed, if it did, and for how long a mutant of it is waited for."""
    started = time.monotonic()
    how = outcome(folder / "test" / f"test_{test}", spec, folder, LIMIT_S)
    return how, max(LEAST_S, PATIENCE * (time.monotonic() - started))


def try_mutant(build: Build, mutant: Mutant, limit_s: float, tries: int = TRIES) -> str:
    """What is wrong with the tests or with the list; empty: the mutant was noticed."""
    with tempfile.TemporaryDirectory(prefix="shunt-mutant-") as folder:
        scratch = Path(folder)
        started = time.monotonic()
        fault = mutate(mutant, scratch)
        if fault:
            return fault
        replaced = dict(build.compile(source, scratch) for source in mutant.units or (mutant.file,))
        program = scratch / "test"
        build.link(mutant.test, replaced, program)
        for _ in range(tries):
            how = outcome(program, mutant.spec, scratch, limit_s)
            if how:
                print(f"noticed: {mutant.name}: {mutant.test} {how} "
                      f"({time.monotonic() - started:.1f} s)", flush=True)
                return ""
    return f"survives {mutant.test} on {mutant.spec}"


def out_of_date(mutants: list[Mutant]) -> list[str]:
    faults = []
    for mutant in mutants:
        with tempfile.TemporaryDirectory(prefix="shunt-mutant-") as scratch:
            fault = mutate(mutant, Path(scratch))
        for source in mutant.units or (mutant.file,):
            if not source.endswith(".c") or not (ROOT / source).is_file():
                fault = fault or f"{source} is no source to compile"
        if fault:
            faults.append(f"{mutant.name}: {fault}")
    return faults


def main() -> int:
    if sys.argv[1:] == ["--listed"]:
        from migration_lto import CACHEABLE, STAYS
        faults = out_of_date([*MUTANTS, CACHEABLE, STAYS])
        print("\n".join(faults) or f"{len(MUTANTS) + 2} mutants are where the list says")
        return 1 if faults else 0
    folder = Path(sys.argv[1]).resolve()
    chosen = [m for m in MUTANTS if len(sys.argv) < 3 or sys.argv[2] in m.name]
    if not (folder / "compile_commands.json").exists():
        print("skipped: this build keeps no compile_commands.json (CMAKE_EXPORT_COMPILE_COMMANDS)")
        return SKIPPED
    build = Build(folder)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        originals = sorted({(m.test, m.spec) for m in chosen})
        tried = pool.map(lambda original: try_original(folder, *original), originals)
        limit = dict(zip(originals, tried))
        faults = [f"without any mutant test_{test} on {spec} {how}"
                  for (test, spec), (how, _) in limit.items() if how]
        # Those that hang longest first.
        chosen = sorted(chosen, key=lambda m: -limit[m.test, m.spec][1])
        said = pool.map(lambda m: try_mutant(build, m, limit[m.test, m.spec][1]),
                        [] if faults else chosen)
        said = list(zip(chosen, said))
        for mutant, fault in said:
            # Races show less on a busy machine: once more, with nothing beside it.
            if fault.startswith("survives"):
                fault = try_mutant(build, mutant, limit[mutant.test, mutant.spec][1], MORE_TRIES)
            if fault:
                faults.append(f"{mutant.name}: {fault}")
                print(faults[-1], flush=True)
    print(f"{len(chosen)} mutants, {len(faults)} faults")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
