/* SPDX-License-Identifier: MIT */
/* A scheduler in a program of one's own: tasks add up, and a thread outside hands one more in. */
#include "core/embed.h"

#include <pthread.h>
#include <stdio.h>

static struct shunt_sched *sched;
static struct shunt_semaphore handed_in;
static _Atomic long sum; /* with many workers tasks run at the same time */

static void *add(void *arg)
{
	sum += *(const int *)arg;
	shunt_yield();
	return NULL;
}

static void *add_last(void *arg)
{
	add(arg);
	shunt_semaphore_post(&handed_in);
	return NULL;
}

static void *outside(void *arg)
{
	if (shunt_spawn_external(sched, NULL, add_last, arg, NULL) != 0)
		fprintf(stderr, "embed: nothing was handed in\n");
	return NULL;
}

static void *root(void *arg)
{
	int *number = arg;
	struct shunt_handle task[9];
	pthread_t thread;

	shunt_semaphore_init(&handed_in, 0);
	shunt_hold(sched); /* no deadlock while the thread has not spoken */
	pthread_create(&thread, NULL, outside, &number[9]);
	for (int i = 0; i < 9; i++)
		shunt_spawn(&task[i], add, &number[i], NULL);
	for (int i = 0; i < 9; i++)
		shunt_join(task[i], NULL);
	shunt_semaphore_wait(&handed_in);
	shunt_release(sched);
	pthread_join(thread, NULL);
	return NULL;
}

int main(int argc, char **argv)
{
	struct shunt_error err = {""};
	int number[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

	if (shunt_open(&sched, argc > 1 ? argv[1] : "asm", NULL, &err) != 0 ||
		shunt_run(sched, root, number, NULL, &err) != 0) {
		fprintf(stderr, "embed: %s\n", err.text);
		return 1;
	}
	shunt_close(sched);
	printf("sum %ld\n", sum);
	return sum == 55 ? 0 : 1;
}
