/* SPDX-License-Identifier: MIT */
/* Clauses about input and output: what of two at once wins, and tasks that move meanwhile. */
#include "backends/test/conformance_io.h"

/* ---- deadlines ------------------------------------------------------------------------------- */

static void *a_read_gives_up_at_its_deadline(void *arg)
{
	struct pair pair;
	char c;
	EXPECT_INT(0, open_pipe(&pair));
	int64_t deadline = SOON;
	EXPECT_INT(-ETIMEDOUT, shunt_io_read_until(pair.end[0], &c, 1, SHUNT_IO_CURRENT, deadline));
	EXPECT(shunt_now_ns() >= deadline);
	EXPECT_INT(-ETIMEDOUT, shunt_io_read_until(pair.end[0], &c, 1, SHUNT_IO_CURRENT, 1));
	/* What is there is had, however late. */
	EXPECT_INT(1, write_char(pair.end[1], 'l'));
	EXPECT_INT(1, shunt_io_read_until(pair.end[0], &c, 1, SHUNT_IO_CURRENT, 1));
	EXPECT_INT('l', c);
	EXPECT_INT(0, close_both(&pair));
	return arg;
}

/* No byte may be lost between a deadline and the write that comes at the same time. */
static void *a_deadline_loses_no_byte(void *arg)
{
	struct pair pair;
	int64_t got = 0;
	EXPECT_INT(0, open_pipe(&pair));
	for (int i = 0; i < 60; i++) {
		struct reader reader = {.fd = pair.end[0],
			.deadline_ns = shunt_now_ns() + 200000 + i % 7 * 10000};
		struct shunt_handle task;
		EXPECT_INT(0, shunt_spawn(&task, read_one, &reader, NULL));
		shunt_sleep_until(reader.deadline_ns - 40000 + i % 11 * 8000);
		EXPECT_INT(1, write_char(pair.end[1], (char)i));
		EXPECT_INT(0, shunt_join(task, NULL));
		EXPECT(reader.result == 1 || reader.result == -ETIMEDOUT);
		if (reader.result < 0)
			EXPECT_INT(1, read_char(pair.end[0], &reader.c));
		EXPECT_INT((char)i, reader.c);
		got++;
	}
	EXPECT_INT(60, got);
	EXPECT_INT(0, close_both(&pair));
	return arg;
}

/* ---- close ----------------------------------------------------------------------------------- */

static void *close_ends_a_read(void *arg)
{
	struct pair pair;
	struct shunt_handle task;
	EXPECT_INT(0, open_pipe(&pair));
	struct reader reader = {.fd = pair.end[0], .deadline_ns = SHUNT_FOREVER};
	EXPECT_INT(0, shunt_spawn(&task, read_one, &reader, NULL));
	await_reader(pair.end[0]);
	EXPECT_INT(0, shunt_io_close(pair.end[0]));
	EXPECT_INT(0, shunt_join(task, NULL));
	EXPECT_INT(-ECANCELED, reader.result);
	EXPECT_INT(-EPIPE, write_char(pair.end[1], 'x'));
	EXPECT_INT(0, shunt_io_close(pair.end[1]));
	return arg;
}

/* A close and a byte at the same time: it is read, or not, and nobody hangs. */
static void *close_meets_completion(void *arg)
{
	for (int i = 0; i < 60; i++) {
		struct pair pair;
		struct shunt_handle task;
		EXPECT_INT(0, open_sockets(&pair));
		struct reader reader = {.fd = pair.end[0],
			.deadline_ns = i % 3 ? SHUNT_FOREVER : shunt_now_ns() + 60000};
		EXPECT_INT(0, shunt_spawn(&task, read_one, &reader, NULL));
		for (int pause = i % 4; pause > 0; pause--)
			shunt_yield();
		EXPECT_INT(1, write_char(pair.end[1], 'x'));
		EXPECT_INT(0, close_both(&pair));
		EXPECT_INT(0, shunt_join(task, NULL));
		EXPECT(reader.result == 1 || reader.result == -ECANCELED ||
			reader.result == -EBADF || reader.result == -ETIMEDOUT);
	}
	return arg;
}

/* ---- who is who ------------------------------------------------------------------------------ */

static void *one_reads_at_a_time(void *arg)
{
	struct pair pair;
	struct shunt_handle task;
	char c;
	EXPECT_INT(0, open_sockets(&pair));
	struct reader reader = {.fd = pair.end[0], .deadline_ns = SHUNT_FOREVER};
	EXPECT_INT(0, shunt_spawn(&task, read_one, &reader, NULL));
	await_reader(pair.end[0]);
	EXPECT_INT(-EBUSY, read_char(pair.end[0], &c));
	EXPECT_INT(-EBUSY, shunt_io_recv(pair.end[0], &c, 1, 0));
	EXPECT_INT(1, write_char(pair.end[0], 'w')); /* the other side is free */
	EXPECT_INT(1, read_char(pair.end[1], &c));
	EXPECT_INT(1, write_char(pair.end[1], 'r'));
	EXPECT_INT(0, shunt_join(task, NULL));
	EXPECT_INT('r', reader.c);
	EXPECT_INT(0, close_both(&pair));
	return arg;
}

static void *a_closed_name_stays_invalid(void *arg)
{
	struct pair first, second;
	char c;
	EXPECT_INT(0, open_pipe(&first));
	int number = shunt_io_number(first.end[0]);
	EXPECT(number >= 0);
	EXPECT_INT(0, close_both(&first));
	EXPECT_INT(0, open_pipe(&second));
	EXPECT_INT(-EBADF, read_char(first.end[0], &c));
	EXPECT_INT(-EBADF, write_char(first.end[1], 'x'));
	EXPECT_INT(-EBADF, shunt_io_close(first.end[0]));
	EXPECT_INT(-EBADF, shunt_io_number(first.end[0]));
	EXPECT_INT(-EBADF, shunt_io_close((struct shunt_fd){0, 0}));
	EXPECT_INT(-EBADF, shunt_io_close((struct shunt_fd){UINT32_MAX, 1}));
	EXPECT_INT(1, write_char(second.end[1], 'y'));
	EXPECT_INT(1, read_char(second.end[0], &c));
	EXPECT_INT(0, close_both(&second));
	EXPECT_INT(-EBADF, shunt_io_adopt(number, &first.end[0]));
	return arg;
}

/* A number that comes back at once, with a reader at every turn: no event of the old one ends the
 * wait of the new one, or is missing there. */
static void *a_number_is_used_again(void *arg)
{
	for (int i = 0; i < 100; i++) {
		struct pair pair;
		struct shunt_handle task;
		EXPECT_INT(0, open_sockets(&pair));
		struct reader reader = {.fd = pair.end[0], .deadline_ns = SHUNT_FOREVER};
		EXPECT_INT(0, shunt_spawn(&task, read_one, &reader, NULL));
		shunt_yield();
		EXPECT_INT(1, write_char(pair.end[1], (char)i));
		EXPECT_INT(0, shunt_join(task, NULL));
		EXPECT_INT(1, reader.result);
		EXPECT_INT((char)i, reader.c);
		EXPECT_INT(0, close_both(&pair));
	}
	return arg;
}

/* ---- workers, errno, the end ----------------------------------------------------------------- */

#define CROWD 8

struct chatter {
	struct pair pair;
	int wrong;
	unsigned side;
};

/* Out of line: a task that has moved has another thread's errno at another address. */
static __attribute__((noinline)) bool errno_is(int value)
{
	__asm__ volatile("" ::: "memory");
	return errno == value;
}

static __attribute__((noinline)) void errno_set(int value)
{
	__asm__ volatile("" ::: "memory");
	errno = value;
}

static void *chat(void *arg)
{
	struct chatter *chatter = arg;
	struct shunt_fd mine = chatter->pair.end[chatter->side];
	for (int i = 0; i < 50; i++) {
		char c = 0;
		errno_set(1000 + i);
		if (chatter->side == 0)
			chatter->wrong += write_char(mine, (char)i) != 1;
		chatter->wrong += read_char(mine, &c) != 1 || c != (char)i;
		if (chatter->side == 1)
			chatter->wrong += write_char(mine, c) != 1;
		chatter->wrong += !errno_is(1000 + i);
		if (i % 8 == 0)
			shunt_yield();
	}
	return arg;
}

/* Many pairs, whose tasks the policy may move in the middle of an operation. */
static void *tasks_move_while_they_wait(void *arg)
{
	struct chatter chatter[2 * CROWD];
	struct shunt_handle task[2 * CROWD];
	for (int i = 0; i < CROWD; i++) {
		struct pair pair;
		EXPECT_INT(0, open_sockets(&pair));
		for (unsigned side = 0; side < 2; side++)
			chatter[2 * i + side] = (struct chatter){.pair = pair, .side = side};
	}
	for (int i = 0; i < 2 * CROWD; i++)
		EXPECT_INT(0, shunt_spawn(&task[i], chat, &chatter[i], NULL));
	for (int i = 0; i < 2 * CROWD; i++) {
		EXPECT_INT(0, shunt_join(task[i], NULL));
		EXPECT_INT(0, chatter[i].wrong);
	}
	for (int i = 0; i < CROWD; i++)
		EXPECT_INT(0, close_both(&chatter[2 * i].pair));
	return arg;
}

/* A task that never waits does not keep others from their input. */
static void *input_comes_while_others_run(void *arg)
{
	struct pair pair;
	struct shunt_handle task;
	EXPECT_INT(0, open_pipe(&pair));
	int number = shunt_io_number(pair.end[1]);
	struct reader reader = {.fd = pair.end[0], .deadline_ns = SHUNT_FOREVER};
	EXPECT_INT(0, shunt_spawn(&task, read_one, &reader, NULL));
	await_reader(pair.end[0]);
	EXPECT_INT(1, write(number, "x", 1)); /* from beside the scheduler */
	for (int64_t until = shunt_now_ns() + 10000 * MS; !count_now(&reader.done); shunt_yield())
		EXPECT(shunt_now_ns() < until);
	EXPECT_INT(0, shunt_join(task, NULL));
	EXPECT_INT(0, close_both(&pair));
	return arg;
}

static struct pair left;

static void *write_later(void *arg)
{
	shunt_sleep_for(3 * MS);
	write_char(left.end[1], 'x');
	return arg;
}

/* The root waits for input alone: that is no deadlock, even while no timer is armed. */
static void *a_wait_for_input_is_no_deadlock(void *arg)
{
	char c;
	EXPECT_INT(0, open_pipe(&left));
	EXPECT_INT(0, shunt_spawn(NULL, write_later, NULL, NULL));
	EXPECT_INT(1, read_char(left.end[0], &c));
	EXPECT_INT(0, close_both(&left));
	return arg;
}

const struct clause conformance_io_races[] = {
	CLAUSE("a read gives up at its deadline, never before", IO,
		a_read_gives_up_at_its_deadline),
	CLAUSE("a deadline loses no byte", IO, a_deadline_loses_no_byte),
	CLAUSE("close ends a read", IO, close_ends_a_read),
	CLAUSE("a close meets a completion and a deadline", IO, close_meets_completion),
	CLAUSE("one task reads at a time, and one writes", IO, one_reads_at_a_time),
	CLAUSE("the name of a closed descriptor stays invalid", IO, a_closed_name_stays_invalid),
	CLAUSE("a number is used again", IO, a_number_is_used_again),
	CLAUSE("tasks move while they wait for input", IO, tasks_move_while_they_wait),
	CLAUSE("input comes while others run", IO, input_comes_while_others_run),
	CLAUSE("a wait for input is no deadlock", IO, a_wait_for_input_is_no_deadlock),
	{.name = NULL},
};
