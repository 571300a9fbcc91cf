/* SPDX-License-Identifier: MIT */
/*
 * shunt-swap-bench: what a bare swap costs, one way, for every switch and fp of this machine.
 *
 *	taskset -c 1 shunt-swap-bench [REPETITIONS]
 *
 * Two contexts take turns. sites=1: both swap from the same call, so that even a mispredicted
 * return finds the address it expects; sites=2: each from a call of its own, as tasks do. via=post
 * is swap_post with a function that does nothing. All rows are measured in turn, REPETITIONS times
 * (11), and each row says the median, the least and the most. The figure includes the loop around
 * the swap: a compare, an add and a call through a pointer.
 */
#include "core/engine/slots.h"
#include "core/registry.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STACK_BYTES     ((size_t)64 << 10)
#define ROWS_MAX        128
#define REPETITIONS_MAX 1001
#define REPETITION_NS   5e6 /* what one repetition of a row takes, about */

struct side {
	const struct shunt_switch_ops *ops;
	void **self, **other; /* where the stack pointers are */
};

struct row {
	const char *name;
	struct shunt_switch_ops ops;
	unsigned sites;
	bool post;
	unsigned long swaps; /* there and back, in one repetition */
	double ns[REPETITIONS_MAX];
};

static struct row rows[ROWS_MAX];
static unsigned row_count;

static void nothing(void *arg)
{
	(void)arg;
}

/* Two copies of the same loop. Were they the same code, there would be one call site. */
#define LOOP(NAME)                                                                                 \
	static __attribute__((noinline)) void NAME(const struct side *side, bool post,             \
		unsigned long count)                                                               \
	{                                                                                          \
		shunt_swap_fn *swap = side->ops->swap;                                             \
		shunt_swap_post_fn *swap_post = side->ops->swap_post;                              \
		void **self = side->self, **other = side->other;                                   \
                                                                                                   \
		__asm__ volatile("# " #NAME);                                                      \
		if (post) {                                                                        \
			for (unsigned long i = 0; i < count; i++)                                  \
				swap_post(self, *other, 0, nothing, NULL);                         \
		} else {                                                                           \
			for (unsigned long i = 0; i < count; i++)                                  \
				swap(self, *other, 0);                                             \
		}                                                                                  \
	}

LOOP(loop_first)
LOOP(loop_second)

static void *main_sp, *other_sp;
static const struct row *current;

static void other_side(uintptr_t value)
{
	const struct side side = {&current->ops, &other_sp, &main_sp};

	(void)value;
	if (current->sites == 1)
		loop_first(&side, current->post, ~0ul);
	else
		loop_second(&side, current->post, ~0ul);
	abort();
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Nanoseconds one way, over `count` ways there and back. */
static double measure(const struct row *row, void *stack, unsigned long count)
{
	const struct side side = {&row->ops, &main_sp, &other_sp};
	double start;

	current = row;
	other_sp = row->ops.make(stack, STACK_BYTES, other_side);
	loop_first(&side, row->post, count / 10 + 1);
	start = now_ns();
	loop_first(&side, row->post, count);
	return (now_ns() - start) / (2 * (double)count);
}

static void add_rows(const struct shunt_switch *of, const char *fp, const char *load)
{
	struct shunt_values values;
	struct shunt_switch_ops ops;

	if (shunt_values_init(&values, of->params, NULL))
		return;
	if (!shunt_values_set(&values, of->name, "fp", fp, NULL) &&
		!(load && shunt_values_set(&values, of->name, "fp_load", load, NULL)) &&
		!of->resolve(&values, &ops, NULL)) {
		for (unsigned variant = 0; variant < 4 && row_count < ROWS_MAX; variant++) {
			rows[row_count++] = (struct row){
				.name = of->name,
				.ops = ops,
				.sites = 1 + variant % 2,
				.post = variant / 2,
			};
		}
	}
	shunt_values_fini(&values);
}

static void find_rows(void)
{
	static const struct {
		const char *fp, *load;
	} of_each[] = {{"none", NULL}, {"mxcsr", "compare"}, {"mxcsr", "always"},
		{"full", "compare"}, {"full", "always"}};

	for (const struct shunt_plugin *entry = shunt_registry_switches; entry->name; entry++) {
		const struct shunt_switch *of = entry->object;

		if (!of || (of->probe && of->probe(NULL)))
			continue;
		unsigned before = row_count;
		for (size_t i = 0; i < sizeof(of_each) / sizeof(of_each[0]); i++)
			add_rows(of, of_each[i].fp, of_each[i].load);
		if (row_count == before) /* it has one variant */
			add_rows(of, "full", NULL);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_row(struct row *row, unsigned repetitions)
{
	qsort(row->ns, repetitions, sizeof(row->ns[0]), compare);
	printf("%-19s %-6s %-8s %5u  %-5s %8.2f %8.2f %8.2f\n", row->name, row->ops.fp,
		row->ops.fp_load ? row->ops.fp_load : "-", row->sites, row->post ? "post" : "swap",
		row->ns[repetitions / 2], row->ns[0], row->ns[repetitions - 1]);
}

int main(int argc, char **argv)
{
	void *stack = aligned_alloc(64, STACK_BYTES);
	unsigned long repetitions = argc > 1 ? strtoul(argv[1], NULL, 10) : 11;

	if (!stack || argc > 2 || repetitions < 1 || repetitions > REPETITIONS_MAX) {
		fprintf(stderr, "usage: %s [REPETITIONS], 1 to %d\n", argv[0], REPETITIONS_MAX);
		return 2;
	}
	find_rows();
	for (unsigned i = 0; i < row_count; i++)
		rows[i].swaps =
			(unsigned long)(REPETITION_NS / 2 / measure(&rows[i], stack, 2000)) + 1;
	for (unsigned long r = 0; r < repetitions; r++) {
		for (unsigned i = 0; i < row_count; i++)
			rows[i].ns[r] = measure(&rows[i], stack, rows[i].swaps);
	}
	printf("%-19s %-6s %-8s %5s  %-5s %8s %8s %8s  ns one way\n", "switch", "fp", "fp_load",
		"sites", "via", "median", "min", "max");
	for (unsigned i = 0; i < row_count; i++)
		print_row(&rows[i], (unsigned)repetitions);
	free(stack);
	return 0;
}
