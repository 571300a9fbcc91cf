/* SPDX-License-Identifier: MIT */
/*
 * The cost table's file. A line is a comment, `of TEXT`, or a cost and its quantiles:
 *
 *   # what it was measured with
 *   of   mn:workers=2,wait=futex on AMD EPYC 9B45
 *   switch 6.9
 *   wake   0:4100 0.5:5300 0.99:21000 1:64000
 *
 * A quantile is PROBABILITY:NANOSECONDS. The first has probability 0, the last 1, and both rise.
 * One number alone is a constant. Every cost must be there, once.
 */
#include "core/engine/cost.h"

#include "core/file.h"
#include "core/param.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MOST      65536
#define QUANTILES_MOST 32
#define COST_MOST_NS   1e9
/* Probabilities are kept in 2^-32. */
#define CERTAIN ((int64_t)1 << 32)

struct quantile {
	int64_t probability, ps;
};

struct law {
	unsigned count;
	struct quantile at[QUANTILES_MOST];
};

struct shunt_costs {
	uint64_t hash;
	char *of;
	struct law law[SHUNT_COSTS];
};

static const char *const names[SHUNT_COSTS] = {
	[SHUNT_COST_SWITCH] = "switch",
	[SHUNT_COST_STEP] = "step",
	[SHUNT_COST_SPAWN] = "spawn",
	[SHUNT_COST_READY] = "ready",
	[SHUNT_COST_QUEUE] = "queue",
	[SHUNT_COST_STEAL] = "steal",
	[SHUNT_COST_LOOK] = "look",
	[SHUNT_COST_WAKE] = "wake",
	[SHUNT_COST_CALL] = "call",
	[SHUNT_COST_LATE] = "late",
};

/* Where in which file. */
struct place {
	const char *path;
	unsigned line;
	struct shunt_error *err;
};

static int complain(const struct place *at, const char *word, const char *what)
{
	return shunt_fail(at->err, -EINVAL, "cost table '%s', line %u, at '%.40s': %s", at->path,
		at->line, word, what);
}

/* A decimal number in [0, most], scaled and rounded. */
static bool number(const char *word, const char *end, double most, double scale, int64_t *value)
{
	char *stop;
	if (!isdigit((unsigned char)*word))
		return false;
	double read = strtod(word, &stop);
	if (stop != end || !(read <= most))
		return false;
	*value = llround(read * scale);
	return true;
}

static int take_quantile(const struct place *at, struct law *law, const char *word)
{
	const char *colon = strchr(word, ':');
	struct quantile one = {0, 0};
	const struct quantile *last = law->count ? &law->at[law->count - 1] : NULL;
	if (law->count == QUANTILES_MOST)
		return complain(at, word, "a cost has at most 32 quantiles; leave some out");
	if (!colon || !number(word, colon, 1, (double)CERTAIN, &one.probability))
		return complain(at, word,
			"a quantile is PROBABILITY:NANOSECONDS with a probability of 0 to 1");
	if (!number(colon + 1, word + strlen(word), COST_MOST_NS, SHUNT_COST_PS, &one.ps))
		return complain(at, word, "a cost takes 0 to 1e9 nanoseconds");
	if (!last && one.probability)
		return complain(at, word, "the first quantile has the probability 0");
	if (last && (one.probability <= last->probability || one.ps < last->ps))
		return complain(at, word, "the quantiles must rise");
	law->at[law->count++] = one;
	return 0;
}

static int take_law(const struct place *at, struct law *law, char **rest)
{
	const char *word = strtok_r(NULL, " \t\r", rest), *first = word;
	int rc = 0;
	if (law->count)
		return complain(at, word ? word : "", "this cost stands in a line above already");
	if (word && !strchr(word, ':')) {
		law->count = 1;
		if (!number(word, word + strlen(word), COST_MOST_NS, SHUNT_COST_PS, &law->at[0].ps))
			return complain(at, word, "a cost takes 0 to 1e9 nanoseconds");
		word = strtok_r(NULL, " \t\r", rest);
		return word ? complain(at, word, "a constant is one number") : 0;
	}
	for (; !rc && word; word = strtok_r(NULL, " \t\r", rest))
		rc = take_quantile(at, law, word);
	if (!rc && (!law->count || law->at[law->count - 1].probability != CERTAIN))
		rc = complain(at, first ? first : "", "the last quantile has the probability 1");
	return rc;
}

static int take_line(const struct place *at, struct shunt_costs *costs, char *line)
{
	char *rest;
	const char *key = strtok_r(line, " \t\r", &rest);
	if (!key || *key == '#')
		return 0;
	if (!strcmp(key, "of")) {
		for (const char *c = rest; *c; c++)
			if (iscntrl((unsigned char)*c) && *c != '\t')
				return complain(at, key, "a control character follows");
		free(costs->of);
		costs->of = strdup(rest + strspn(rest, " \t"));
		return costs->of ? 0
				 : shunt_fail(at->err, -ENOMEM, "out of memory for a cost table");
	}
	for (unsigned i = 0; i < SHUNT_COSTS; i++)
		if (!strcmp(key, names[i]))
			return take_law(at, &costs->law[i], &rest);
	return complain(at, key,
		"not a cost; these are switch, step, spawn, ready, queue, steal, look, wake, call, "
		"late");
}

static int take_lines(struct place *at, struct shunt_costs *costs, char *text)
{
	int rc = 0;
	for (char *line; !rc && (line = strsep(&text, "\n"));) {
		at->line++;
		rc = take_line(at, costs, line);
	}
	for (unsigned i = 0; !rc && i < SHUNT_COSTS; i++)
		if (!costs->law[i].count)
			rc = shunt_fail(at->err, -EINVAL,
				"cost table '%s' has no line '%s'; add it, or measure a table with "
				"`experiments/lab calibrate`",
				at->path, names[i]);
	if (!rc && !costs->of)
		rc = shunt_fail(at->err, -EINVAL,
			"cost table '%s' has no line 'of': it says which machine was measured",
			at->path);
	return rc;
}

/* FNV-1a. */
static uint64_t hash_of(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325u;
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
	return hash;
}

int shunt_costs_parse(struct shunt_costs **made, const char *name, const char *text,
	struct shunt_error *err)
{
	struct place at = {.path = name, .err = err};
	struct shunt_costs *costs = calloc(1, sizeof(*costs));
	char *own = strdup(text);
	int rc = costs && own ? take_lines(&at, costs, own)
			      : shunt_fail(err, -ENOMEM, "out of memory for a cost table");
	free(own);
	if (rc) {
		shunt_costs_free(costs);
		return rc;
	}
	costs->hash = hash_of(text);
	*made = costs;
	return 0;
}

int shunt_costs_read(struct shunt_costs **made, const char *path, struct shunt_error *err)
{
	char *text;
	size_t bytes;
	int rc = shunt_file_read(path, "cost table", FILE_MOST, &text, &bytes, err);
	if (rc)
		return rc;
	rc = shunt_costs_parse(made, path, text, err);
	free(text);
	return rc;
}

void shunt_costs_free(struct shunt_costs *costs)
{
	if (costs)
		free(costs->of);
	free(costs);
}

int64_t shunt_costs_draw(const struct shunt_costs *costs, enum shunt_cost cost, uint64_t random)
{
	const struct law *law = &costs->law[cost];
	const struct quantile *low = law->at;
	int64_t probability = (int64_t)(random >> 32);
	if (law->count == 1)
		return low->ps;
	while (low[1].probability <= probability)
		low++;
	return low->ps +
	       (int64_t)((__int128)(low[1].ps - low->ps) * (probability - low->probability) /
			 (low[1].probability - low->probability));
}

uint64_t shunt_costs_hash(const struct shunt_costs *costs)
{
	return costs->hash;
}

const char *shunt_costs_of(const struct shunt_costs *costs)
{
	return costs->of;
}
