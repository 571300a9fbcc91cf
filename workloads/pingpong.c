/* SPDX-License-Identifier: MIT */
/*
 * pingpong: two tasks hand a ball to each other and back.
 *
 * The smallest conversation there is: a round is two wake-ups and two switches. On one worker it is
 * the cost of a blocking hand-over; when the two run on different workers it is the latency of a
 * wake-up across cores, which is another quantity by orders of magnitude. The series `round_trip`
 * tells the two apart; `wakeup` always has two workers. One round in `sample` is timed.
 */
#include "workloads/baton.h"

struct pingpong {
	struct baton_place *place; /* 0: where ping waits, 1: where pong waits */
	uint64_t rounds, sample;
	enum baton_over over;
	struct crowd crowd;
	struct player {
		struct pingpong *game;
		unsigned side;
		uint64_t wrong;
	} player[2];
	struct shunt_series *round_trip;
	struct shunt_semaphore seated; /* posted by pong when it can be woken */
	uint64_t balls;
};

BATON_INLINE uint64_t serve(struct player *ping, enum baton_over over)
{
	struct pingpong *game = ping->game;
	uint64_t round = 0, sample_in = game->round_trip ? 1 : UINT64_MAX;
	for (; round < game->rounds; round++) {
		bool timed = __builtin_expect(--sample_in == 0, 0);
		int64_t before = timed ? shunt_now_ns() : 0;
		baton_pass(&game->place[1], over, 2 * round);
		ping->wrong += baton_await(&game->place[0], over) != 2 * round + 1;
		if (timed) {
			shunt_series_record(game->round_trip, shunt_now_ns() - before);
			sample_in = game->sample;
		}
	}
	return round;
}

BATON_INLINE uint64_t answer(struct player *pong, enum baton_over over)
{
	struct pingpong *game = pong->game;
	uint64_t round = 0;
	for (; round < game->rounds; round++) {
		uint64_t ball = baton_await(&game->place[1], over);
		if (ball == BATON_STOP)
			break;
		pong->wrong += ball != 2 * round;
		baton_pass(&game->place[0], over, ball + 1);
	}
	return round;
}

BATON_INLINE void *play(struct player *player, enum baton_over over)
{
	struct pingpong *game = player->game;
	uint64_t balls;
	game->place[player->side].member = shunt_self();
	if (player->side == 0) {
		shunt_semaphore_wait(&game->seated);
		balls = serve(player, over);
	} else {
		shunt_semaphore_post(&game->seated);
		balls = answer(player, over);
	}
	return (void *)(uintptr_t)balls;
}

static void *play_semaphore(void *arg)
{
	return play(arg, BATON_SEMAPHORE);
}

static void *play_park(void *arg)
{
	return play(arg, BATON_PARK);
}

static void *play_channel(void *arg)
{
	return play(arg, BATON_CHANNEL);
}

static int pingpong_body(struct shunt_run *run)
{
	static shunt_task_fn *const players[] = {play_semaphore, play_park, play_channel};
	struct pingpong *game = shunt_run_state(run);
	game->player[0].wrong = game->player[1].wrong = 0;
	shunt_measure_begin(run);
	int rc = crowd_start(run, &game->crowd, 2, players[game->over], game->player,
		sizeof(game->player[0]));
	if (rc && game->crowd.started) {
		/* Ping alone waits for pong: it need not play. */
		game->rounds = 0;
		shunt_semaphore_post(&game->seated);
	}
	int joined = crowd_join(&game->crowd, &game->balls);
	shunt_measure_end(run);
	return rc ? rc : joined;
}

static void pingpong_verify(struct shunt_run *run)
{
	const struct pingpong *game = shunt_run_state(run);
	shunt_check_int(run, "balls", (int64_t)(2 * game->rounds), (int64_t)game->balls);
	shunt_check_int(run, "balls_out_of_sequence", 0,
		(int64_t)(game->player[0].wrong + game->player[1].wrong));
	shunt_operations(run, game->rounds);
}

static void pingpong_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	(void)run;
	footprint->tasks = 2;
	footprint->bytes = 2 * sizeof(struct baton_place);
}

static int pingpong_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct pingpong *game = calloc(1, sizeof(*game));
	shunt_run_set_state(run, game);
	if (!game)
		return -ENOMEM;
	game->rounds = (uint64_t)shunt_run_int(run, "rounds");
	game->sample = (uint64_t)shunt_run_int(run, "sample");
	game->over = (enum baton_over)shunt_run_int(run, "over");
	for (unsigned side = 0; side < 2; side++)
		game->player[side] = (struct player){.game = game, .side = side};
	if (crowd_init(&game->crowd, 2) || baton_init(&game->place, 2, game->over) ||
		crowd_series(run, "round_trip", game->sample, &game->round_trip))
		return shunt_fail(err, -ENOMEM, "no memory for two tasks");
	return 0;
}

static void pingpong_teardown(struct shunt_run *run)
{
	struct pingpong *game = shunt_run_state(run);
	if (!game)
		return;
	baton_fini(game->place, 2, game->over);
	crowd_fini(&game->crowd);
	free(game);
}

static const struct shunt_param pingpong_params[] = {
	{"rounds", SHUNT_PARAM_COUNT, "100k", 1, INT64_C(1) << 40, NULL, "round trips of the ball"},
	{"over", SHUNT_PARAM_CHOICE, "channel", 0, 0, baton_names,
		"what carries the ball: a semaphore each, wake and park, or a channel of one each"},
	{"sample", SHUNT_PARAM_COUNT, "1024", 0, INT64_C(1) << 40, NULL,
		"time one round trip in N (0: none)"},
	{.name = NULL},
};

const struct shunt_workload shunt_workload_pingpong = {
	.name = "pingpong",
	.summary = "two tasks pass a ball back and forth",
	.description = "Two tasks pass a value back and forth over channels, semaphores or wake "
		       "and park. It measures the cost of a blocking hand-over; on many workers, "
		       "whether the pair stays together or each pass wakes another core.",
	.operation = "one round trip",
	.cost_metric = "ns_per_round",
	.needs = SHUNT_CAN_BLOCK,
	.params = pingpong_params,
	.small = "rounds=50 sample=1|rounds=50 over=park sample=0|rounds=50 over=semaphore",
	.footprint = pingpong_footprint,
	.setup = pingpong_setup,
	.body = pingpong_body,
	.verify = pingpong_verify,
	.teardown = pingpong_teardown,
};
