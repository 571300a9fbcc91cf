/* SPDX-License-Identifier: MIT */
/*
 * ThreadSanitizer's fibres, one for each stack. In other builds only SHUNT_TSAN is here, undefined.
 *
 * A new fibre is 300 KiB that ThreadSanitizer clears: two thirds of what short runs cost under it.
 * So a scheduler that closes leaves its fibres to the next one. That hides no race: what ran on a
 * fibre ended before its scheduler was closed. The lock hides none either: whoever asks for a fibre
 * has just held the lock of the stack pool.
 */
#ifndef SHUNT_CORE_ENGINE_FIBRE_H
#define SHUNT_CORE_ENGINE_FIBRE_H

#include "core/engine/stack.h"

#if defined(__SANITIZE_THREAD__)
#define SHUNT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SHUNT_TSAN 1
#endif
#endif

#ifdef SHUNT_TSAN
/* A task is about to begin on this stack. Context: not on the stack. */
void shunt_fibre_begin(struct shunt_stack *stack);
/* The stack is about to be unmapped. */
void shunt_fibre_end(struct shunt_stack *stack);
#endif

#endif
