/* SPDX-License-Identifier: MIT */
/* If this passes, each act of the scheduler takes in virtual time what the cost table says, a bad
 * table is refused with its line, and the same costs give the same run everywhere. */
#include "workloads/test/ran.h"

#include "core/sched.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { SWITCH = 10, SPAWN = 20, READY = 7, WAKE = 5000, CALL = 600, LATE = 1000 };

#define SOUND                                                                                      \
	"# a comment\nof  a test\n\nswitch 10\nstep 4.5\nspawn 20\nready 7\nqueue 0\nsteal 300\n"  \
	"look 50\nwake 5000\ncall 600\nlate 1000\n"

static char path[] = "/tmp/shunt-costs-XXXXXX";

static void write_table(const char *text)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int make_file(void **state)
{
	(void)state;
	int fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

/* Runs root(arg) with the table. */
static void run_with(const char *table, const char *spec, shunt_task_fn *root, void *arg)
{
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	char text[128];
	write_table(table);
	snprintf(text, sizeof(text), "%s,wait.cost=%s", spec, path);
	if (shunt_open(&sched, text, NULL, &err) || shunt_run(sched, root, arg, NULL, &err))
		fail_msg("%s", err.text);
	shunt_close(sched);
}

/* ---- acts ------------------------------------------------------------------------------------ */

enum { YIELDS = 1000 };

static void *yields(void *arg)
{
	for (int i = 0; i < YIELDS; i++)
		shunt_yield();
	return arg;
}

/* Two tasks in turn: each yield of the one brings two switches. */
static void *times_yields(void *took)
{
	struct shunt_handle other;
	assert_int_equal(shunt_spawn(&other, yields, NULL, NULL), 0);
	shunt_yield();
	int64_t from_ns = shunt_now_ns();
	for (int i = 0; i < YIELDS / 2; i++)
		shunt_yield();
	*(int64_t *)took = shunt_now_ns() - from_ns;
	shunt_join(other, NULL);
	return NULL;
}

static void a_yield_takes_a_switch(void **state)
{
	(void)state;
	int64_t took_ns;
	run_with(SOUND, "sim:workers=1", times_yields, &took_ns);
	assert_in_range(took_ns, (YIELDS - 1) * SWITCH, (YIELDS + 1) * SWITCH);
}

static void *nothing(void *arg)
{
	return arg;
}

static void *times_spawns(void *took)
{
	static struct shunt_handle one[YIELDS];
	int64_t from_ns = shunt_now_ns();
	for (int i = 0; i < YIELDS; i++)
		assert_int_equal(shunt_spawn(&one[i], nothing, NULL, NULL), 0);
	for (int i = 0; i < YIELDS; i++)
		shunt_join(one[i], NULL);
	*(int64_t *)took = shunt_now_ns() - from_ns;
	return NULL;
}

static void a_spawn_and_its_first_switch_add_up(void **state)
{
	(void)state;
	int64_t took_ns;
	run_with(SOUND, "sim:workers=1", times_spawns, &took_ns);
	assert_in_range(took_ns, YIELDS * (SPAWN + SWITCH) - SWITCH,
		YIELDS * (SPAWN + SWITCH) + 2 * SWITCH + READY);
}

struct game {
	struct shunt_semaphore ball[2];
	int64_t took_ns;
};

static void *returns(void *arg)
{
	struct game *game = arg;
	for (int i = 0; i < YIELDS; i++) {
		shunt_semaphore_wait(&game->ball[1]);
		shunt_semaphore_post(&game->ball[0]);
	}
	return NULL;
}

static void *serves(void *arg)
{
	struct game *game = arg;
	struct shunt_handle other;
	struct shunt_attr here = {.worker = 1};
	shunt_semaphore_init(&game->ball[0], 0);
	shunt_semaphore_init(&game->ball[1], 0);
	assert_int_equal(shunt_spawn(&other, returns, game, &here), 0);
	int64_t from_ns = shunt_now_ns();
	for (int i = 0; i < YIELDS; i++) {
		shunt_semaphore_post(&game->ball[1]);
		shunt_semaphore_wait(&game->ball[0]);
		if (i == YIELDS / 2)
			game->took_ns = shunt_now_ns() - from_ns;
	}
	shunt_join(other, NULL);
	return NULL;
}

/* Two tasks of one worker that only ever wait: their time passes while they do. */
static void waits_in_a_row_take_their_time(void **state)
{
	(void)state;
	struct game game;
	run_with(SOUND, "sim:workers=2,policy=fifo", serves, &game);
	assert_in_range(game.took_ns, YIELDS * (SWITCH + READY) * 95 / 100,
		YIELDS * (SWITCH + READY) * 105 / 100);
}

struct pair {
	struct shunt_handle sleeper;
	int64_t sent_ns, called_ns, heard_ns;
};

static void *hears(void *arg)
{
	struct pair *pair = arg;
	shunt_park();
	pair->heard_ns = shunt_now_ns();
	return NULL;
}

/* The sleeper is alone on worker 1, which is asleep by now. */
static void *wakes(void *arg)
{
	struct pair *pair = arg;
	struct shunt_attr second = {.worker = 2};
	assert_int_equal(shunt_spawn(&pair->sleeper, hears, pair, &second), 0);
	shunt_work_ns(1000000);
	pair->sent_ns = shunt_now_ns();
	shunt_wake(pair->sleeper);
	shunt_work_ns(1);
	pair->called_ns = shunt_now_ns();
	shunt_join(pair->sleeper, NULL);
	return NULL;
}

static void a_wake_takes_both_sides_their_time(void **state)
{
	(void)state;
	struct pair pair = {.heard_ns = 0};
	run_with(SOUND, "sim:workers=2,policy=fifo", wakes, &pair);
	assert_in_range(pair.heard_ns - pair.sent_ns, WAKE, WAKE + READY + SWITCH);
	assert_in_range(pair.called_ns - pair.sent_ns, CALL + 1, CALL + 1 + READY);
}

enum { SLEEPS = 2000 };

static void *sleeps(void *late)
{
	for (int i = 0; i < SLEEPS; i++) {
		int64_t due_ns = shunt_now_ns() + 1000000;
		shunt_sleep_until(due_ns);
		((int64_t *)late)[i] = shunt_now_ns() - due_ns;
	}
	return NULL;
}

static void a_sleep_ends_late(void **state)
{
	(void)state;
	static int64_t late_ns[SLEEPS];
	run_with(SOUND, "sim:workers=1", sleeps, late_ns);
	for (int i = 0; i < SLEEPS; i++)
		assert_in_range(late_ns[i], LATE, LATE + READY + 2 * SWITCH);
}

enum { LOOK = 50, OTHERS = 8 };

/* The only task of nine workers waits for less than a look at one of them takes. */
static void *waits_shortly(void *took)
{
	shunt_work_ns(1000000); /* the others are asleep by then */
	int64_t from_ns = shunt_now_ns();
	shunt_sleep_until(from_ns + 1);
	*(int64_t *)took = shunt_now_ns() - from_ns;
	return NULL;
}

static void a_vain_search_takes_a_look_at_each_victim(void **state)
{
	(void)state;
	int64_t took_ns;
	run_with("of a test\nswitch 0\nstep 0\nspawn 0\nready 0\nqueue 0\nsteal 0\nlook 50\n"
		 "wake 0\ncall 0\nlate 0\n",
		"sim:workers=9,policy=steal,search=0,nap=0", waits_shortly, &took_ns);
	assert_int_equal(took_ns, OTHERS * LOOK);
}

/* A quarter lies below the first quartile, and so on; the seed is given. */
static void quantiles_are_drawn_from(void **state)
{
	(void)state;
	static int64_t late_ns[SLEEPS];
	static const int64_t bounds[] = {1000, 2000, 10000};
	int below[3] = {0, 0, 0};
	run_with("of a test\nswitch 0\nstep 0\nspawn 0\nready 0\nqueue 0\nsteal 0\nlook 0\nwake 0\n"
		 "call 0\nlate 0:0 0.25:1000 0.5:2000 0.75:10000 1:50000\n",
		"sim:workers=1", sleeps, late_ns);
	for (int i = 0; i < SLEEPS; i++) {
		assert_in_range(late_ns[i], 0, 50000);
		for (int k = 0; k < 3; k++)
			below[k] += late_ns[i] < bounds[k];
	}
	/* Four deviations of a binomial: 4 sqrt(2000 / 4). */
	for (int k = 0; k < 3; k++)
		assert_in_range(below[k], (k + 1) * SLEEPS / 4 - 90, (k + 1) * SLEEPS / 4 + 90);
}

/* ---- a queue's lock is a server -------------------------------------------------------------- */

enum { CROWD = 16, HELD = 100 };

static void *times_crowd(void *took)
{
	struct shunt_handle one[CROWD];
	int64_t from_ns = shunt_now_ns();
	for (int i = 0; i < CROWD; i++)
		assert_int_equal(shunt_spawn(&one[i], yields, NULL, NULL), 0);
	for (int i = 0; i < CROWD; i++)
		shunt_join(one[i], NULL);
	*(int64_t *)took = shunt_now_ns() - from_ns;
	return NULL;
}

/* 8 workers, each switch in no time but for the lock: they get on one after the other. */
static void a_shared_lock_serves_one_at_a_time(void **state)
{
	(void)state;
	int64_t took_ns;
	run_with("of a test\nswitch 0\nstep 0\nspawn 0\nready 0\nqueue 100\nsteal 0\nlook 0\n"
		 "wake 0\ncall 0\nlate 0\n",
		"sim:workers=8,policy=shared", times_crowd, &took_ns);
	assert_in_range(took_ns, CROWD * YIELDS * HELD * 9 / 10, CROWD * YIELDS * HELD * 11 / 10);
}

/* ---- the same everywhere --------------------------------------------------------------------- */

static void costs_happen_alike_everywhere(void **state)
{
	(void)state;
	char spec[128];
	write_table("of a test\nswitch 6.7\nstep 3.1\nspawn 11.2\nready 9.9\nqueue 4.5\nsteal 250\n"
		    "look 31.5\nwake 0:900 0.5:3100 0.9:9000 1:50000\ncall 1200\n"
		    "late 0:50 0.9:4000 1:60000\n");
	snprintf(spec, sizeof(spec), "sim:workers=6,wait.cost=%s", path);
	struct shunt_run *run =
		run_of(spec, "openloop", "requests=500 mean=5us load=4 service=bimodal");
	const struct shunt_outcome *outcome = shunt_run_outcome(run);
	if (outcome->status != SHUNT_RECORD_OK)
		fail_msg("%s", outcome->reason);
	assert_string_equal(fact(outcome, "sim.cost"), "a test");
	assert_string_equal(fact(outcome, "sim.hash"), "fd75a27f27ecb192");
	shunt_run_free(run);
}

/* ---- bad tables ------------------------------------------------------------------------------ */

static const struct bad {
	const char *text, *says;
} bad[] = {
	{"", "has no line 'switch'"},
	{"switch 10\n", "has no line 'step'"},
	{"of a\nswitch 1\nstep 1\nspawn 1\nready 1\nqueue 1\nsteal 1\nlook 1\nwake 1\ncall 1\n",
		"has no line 'late'"},
	{"switch 1\nstep 1\nspawn 1\nready 1\nqueue 1\nsteal 1\nlook 1\nwake 1\ncall 1\nlate 1\n",
		"has no line 'of'"},
	{"of a \x1b[2J\n", "line 1, at 'of': a control character follows"},
	{"\nswitch -1\n", "line 2, at '-1': a cost takes 0 to 1e9"},
	{"switch 2e9\n", "at '2e9': a cost takes 0 to 1e9"},
	{"switch nan\n", "at 'nan': a cost takes"},
	{"switch 1 2\n", "at '2': a constant is one number"},
	{"switch 1\nswitch 1\n", "line 2, at '1': this cost stands in a line above"},
	{"swich 1\n", "line 1, at 'swich': not a cost"},
	{"wake 0.1:5 1:6\n", "the first quantile has the probability 0"},
	{"wake 0:5 0.9:6\n", "the last quantile has the probability 1"},
	{"wake 0:5 1:4\n", "at '1:4': the quantiles must rise"},
	{"wake 0:5 0.5:6 0.5:7 1:8\n", "at '0.5:7': the quantiles must rise"},
	{"wake 0:5 2:6\n", "a quantile is PROBABILITY:NANOSECONDS"},
	{"wake 0:5 1:\n", "a cost takes 0 to 1e9"},
	{"wake\n", "the last quantile has the probability 1"},
};

static void a_bad_table_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct shunt_sched *sched;
		struct shunt_error err = {""};
		char spec[64];
		write_table(bad[i].text);
		snprintf(spec, sizeof(spec), "sim:wait.cost=%s", path);
		assert_int_equal(shunt_open(&sched, spec, NULL, &err), -EINVAL);
		if (!strstr(err.text, bad[i].says) || !strstr(err.text, path))
			fail_msg("'%s' gave: %s", bad[i].text, err.text);
	}
}

static void no_table_is_refused(void **state)
{
	(void)state;
	struct shunt_sched *sched;
	struct shunt_error err = {""};
	assert_int_equal(shunt_open(&sched, "sim:wait.cost=/tmp/shunt/no/table", NULL, &err),
		-ENOENT);
	assert_non_null(strstr(err.text, "cost table '/tmp/shunt/no/table'"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_yield_takes_a_switch),
		cmocka_unit_test(a_spawn_and_its_first_switch_add_up),
		cmocka_unit_test(waits_in_a_row_take_their_time),
		cmocka_unit_test(a_wake_takes_both_sides_their_time),
		cmocka_unit_test(a_sleep_ends_late),
		cmocka_unit_test(a_vain_search_takes_a_look_at_each_victim),
		cmocka_unit_test(quantiles_are_drawn_from),
		cmocka_unit_test(a_shared_lock_serves_one_at_a_time),
		cmocka_unit_test(costs_happen_alike_everywhere),
		cmocka_unit_test(a_bad_table_is_refused), cmocka_unit_test(no_table_is_refused)};
	return cmocka_run_group_tests_name("virtual_costs", tests, make_file, remove_file);
}
