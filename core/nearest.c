/* SPDX-License-Identifier: MIT */
/*
 * The nearest name to a misspelt one, for every message that says "did you mean".
 *
 * The distance is that of optimal string alignment: insertions, deletions, substitutions and
 * transpositions of neighbours, each counted once, case ignored. A word that begins a name, or that
 * a name begins, is one step from it whatever its length: people abbreviate more than they
 * misspell. Source: F. J. Damerau, "A technique for computer detection and correction of spelling
 * errors", CACM 7(3), 1964.
 */
#include "core/param.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX 64

static size_t least(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Both at most WORD_MAX long. Three rows of the usual matrix are enough. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= b_len; j++)
		last[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		int ca = tolower((unsigned char)a[i - 1]);

		now[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			int cb = tolower((unsigned char)b[j - 1]);

			now[j] = least(last[j] + 1, now[j - 1] + 1, last[j - 1] + (ca != cb));
			if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
				cb == tolower((unsigned char)a[i - 2]) &&
				before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
		size_t *oldest = before;

		before = last;
		last = now;
		now = oldest;
	}
	return last[b_len];
}

const char *shunt_nearest(const char *word, const char *const *candidates, size_t count)
{
	size_t word_len = strlen(word);
	const char *best = NULL;
	/* Further than a third of the word is a guess, not a hint. */
	size_t best_distance = word_len / 3 + 2;

	if (word_len == 0 || word_len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(candidates[i]);
		size_t shorter = len < word_len ? len : word_len;

		if (len > WORD_MAX)
			continue;
		size_t d = distance(word, word_len, candidates[i], len);

		if (d > 1 && shorter >= 2 && strncasecmp(word, candidates[i], shorter) == 0)
			d = 1;
		if (d < best_distance && d < len) {
			best = candidates[i];
			best_distance = d;
		}
	}
	return best;
}
