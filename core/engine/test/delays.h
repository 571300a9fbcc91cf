/* SPDX-License-Identifier: MIT */
/*
 * Put before a source by -include: a chance of a delay before every atomic access and every fence.
 *
 * Those are the points where threads meet, each of them tagged where it is declared. What lies
 * between two of them is some nanoseconds in a usual build, and no torture gets another thread in
 * there; held up at random, it does. gcc's <stdatomic.h> is made of the builtins below, so that
 * nothing in the sources need be marked. See torture_delayed.py.
 */
#ifndef SHUNT_ENGINE_TEST_DELAYS_H
#define SHUNT_ENGINE_TEST_DELAYS_H

void shunt_delay(void);

#define __atomic_load(...)               (shunt_delay(), __atomic_load(__VA_ARGS__))
#define __atomic_load_n(...)             (shunt_delay(), __atomic_load_n(__VA_ARGS__))
#define __atomic_store(...)              (shunt_delay(), __atomic_store(__VA_ARGS__))
#define __atomic_store_n(...)            (shunt_delay(), __atomic_store_n(__VA_ARGS__))
#define __atomic_exchange(...)           (shunt_delay(), __atomic_exchange(__VA_ARGS__))
#define __atomic_exchange_n(...)         (shunt_delay(), __atomic_exchange_n(__VA_ARGS__))
#define __atomic_compare_exchange(...)   (shunt_delay(), __atomic_compare_exchange(__VA_ARGS__))
#define __atomic_compare_exchange_n(...) (shunt_delay(), __atomic_compare_exchange_n(__VA_ARGS__))
#define __atomic_fetch_add(...)          (shunt_delay(), __atomic_fetch_add(__VA_ARGS__))
#define __atomic_fetch_sub(...)          (shunt_delay(), __atomic_fetch_sub(__VA_ARGS__))
#define __atomic_fetch_or(...)           (shunt_delay(), __atomic_fetch_or(__VA_ARGS__))
#define __atomic_fetch_and(...)          (shunt_delay(), __atomic_fetch_and(__VA_ARGS__))
#define __atomic_thread_fence(...)       (shunt_delay(), __atomic_thread_fence(__VA_ARGS__))

#endif
