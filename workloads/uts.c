/* SPDX-License-Identifier: MIT */
/*
 * uts: counts the nodes of a tree that nobody can tell the shape of in advance.
 *
 * The Unbalanced Tree Search benchmark (Olivier, Huan, Liu, Prins, Dinan, Sadayappan, Tseng, "UTS:
 * An Unbalanced Tree Search Benchmark", LCPC 2006). A node is a SHA-1 digest: a child's is the
 * digest of its parent's and its own number, and a node's digest decides how many children it has,
 * by a geometric law with a bound on the depth (T1, T5) or a binomial one, whose subtrees differ
 * wildly in size (T3). The trees and their counts are the published ones, so the answer is checked
 * against other people's programs.
 *
 * A task expands its node and keeps the children on a pile of its own. Of the pile it expands the
 * newest node itself, and in place of every `grain`-th it makes the oldest one a task, as long as
 * fewer than `alive` tasks are: that is the nearest to the root, whose subtree is the largest, and
 * worth a thief's way. So the number of tasks alive is bounded under any policy, also breadth
 * first, where a task for every node would have most of the four million leaves alive at once.
 *
 * The series `subtree` is the time from a task's start to the end of its subtree, of about one task
 * in `sample`.
 */
#include "workloads/crowd.h"

#include <math.h>
#include <sha1.h>

enum { DIGEST = SHA1_DIGEST_LENGTH, CHILDREN_MOST = 100 };

enum law { GEOMETRIC_FIXED, GEOMETRIC_LINEAR, BINOMIAL };

static const struct tree {
	const char *name;
	enum law law;
	double root_children; /* expected number; at every node, for geometric laws */
	unsigned depth;       /* bound of geometric laws */
	double fertile;       /* binomial: the chance that a node has children, and how many */
	unsigned brood;
	int seed;
	uint64_t nodes, leaves, height; /* as published */
} trees[] = {
	{"T1", GEOMETRIC_FIXED, 4, 10, 0, 0, 19, 4130071, 3305118, 10},
	{"T5", GEOMETRIC_LINEAR, 4, 20, 0, 0, 34, 4147582, 2181318, 20},
	{"T3", BINOMIAL, 2000, 0, 0.124875, 8, 42, 4112897, 3599034, 1572},
	{"T1L", GEOMETRIC_FIXED, 4, 13, 0, 0, 29, 102181082, 81746377, 13},
	{"T3L", BINOMIAL, 2000, 0, 0.200014, 5, 7, 111345631, 89076904, 17844},
};
static const char *const tree_names[] = {"T1", "T5", "T3", "T1L", "T3L", NULL};

struct node {
	unsigned char digest[DIGEST];
	uint32_t height;
};

struct count {
	uint64_t nodes, leaves, height, tasks;
};

struct uts {
	struct tree tree;
	uint64_t alive_most, grain, sample;
	struct shunt_series *subtree;
	struct count expected, found;
	bool published;
	int rc;                      /* [uts:rc] the first refusal of memory or of a task */
	_Alignas(64) uint64_t alive; /* [uts:alive] tasks */
};

/* A task's argument, and its result; the spawner's memory. */
struct branch {
	struct uts *uts;
	struct shunt_handle handle;
	struct node node;
	struct count count;
};

/* What a task has still to do, and the tasks that it must join. */
struct pile {
	struct node *node;
	size_t first, count, room; /* those before `first` have become tasks */
	struct branch **branch;
	size_t branch_count, branch_room;
};

/* ---- the tree -------------------------------------------------------------------------------- */

static SHUNT_SHORT void put_number(unsigned char *bytes, uint32_t number)
{
	for (int i = 0; i < 4; i++)
		bytes[i] = (unsigned char)(number >> (24 - 8 * i));
}

static void make_root(const struct tree *tree, struct node *root)
{
	unsigned char bytes[DIGEST] = {0};
	SHA1_CTX context;
	put_number(bytes + 16, (uint32_t)tree->seed);
	SHA1Init(&context);
	SHA1Update(&context, bytes, sizeof(bytes));
	SHA1Final(root->digest, &context);
	root->height = 0;
}

static SHUNT_SHORT void make_child(const struct node *parent, uint32_t index, struct node *child)
{
	unsigned char bytes[4];
	SHA1_CTX context;
	put_number(bytes, index);
	SHA1Init(&context);
	SHA1Update(&context, parent->digest, DIGEST);
	SHA1Update(&context, bytes, sizeof(bytes));
	SHA1Final(child->digest, &context);
	child->height = parent->height + 1;
}

/* The last 31 bits of the digest as a number in [0, 1). */
static SHUNT_SHORT double chance(const struct node *node)
{
	const unsigned char *end = node->digest + DIGEST - 4;
	uint32_t bits =
		((uint32_t)end[0] << 24 | (uint32_t)end[1] << 16 | (uint32_t)end[2] << 8 | end[3]) &
		0x7fffffff;
	return bits / 2147483648.0;
}

static SHUNT_SHORT uint32_t geometric_children(const struct tree *tree, const struct node *node)
{
	double expected = tree->root_children;
	if (tree->law == GEOMETRIC_LINEAR)
		expected *= 1.0 - (double)node->height / tree->depth;
	else if (node->height >= tree->depth)
		expected = 0;
	if (expected <= 0)
		return 0;
	double p = 1.0 / (1.0 + expected);
	double children = floor(log(1.0 - chance(node)) / log(1.0 - p));
	return children > CHILDREN_MOST ? CHILDREN_MOST : (uint32_t)children;
}

static SHUNT_SHORT uint32_t child_count(const struct tree *tree, const struct node *node)
{
	if (tree->law != BINOMIAL)
		return geometric_children(tree, node);
	if (node->height == 0)
		return (uint32_t)tree->root_children;
	return chance(node) < tree->fertile ? tree->brood : 0;
}

/* ---- one task -------------------------------------------------------------------------------- */

static SHUNT_SHORT int make_room(void **array, size_t *room, size_t need, size_t bytes)
{
	if (need <= *room)
		return 0;
	size_t more = need > 2 * *room ? need + 16 : 2 * *room;
	void *grown = realloc(*array, more * bytes);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = more;
	return 0;
}

/* Counts a node and adds its children to the pile: some 300 ns for each. */
static SHUNT_SHORT int expand(const struct tree *tree, const struct node *node, struct pile *pile,
	struct count *count)
{
	struct node parent = *node; /* the pile may move */
	uint32_t children = child_count(tree, &parent);
	count->nodes++;
	count->leaves += children == 0;
	if (parent.height > count->height)
		count->height = parent.height;
	int rc = make_room((void **)&pile->node, &pile->room, pile->count + children,
		sizeof(*pile->node));
	for (uint32_t i = 0; i < children && !rc; i++)
		make_child(&parent, i, &pile->node[pile->count++]);
	return rc;
}

static void add_count(struct count *to, const struct count *from)
{
	to->nodes += from->nodes;
	to->leaves += from->leaves;
	to->tasks += from->tasks;
	if (from->height > to->height)
		to->height = from->height;
}

static void refuse(struct uts *uts, int rc)
{
	int none = 0;
	/* Relaxed: all tasks are joined before anybody reads it [uts:rc]. */
	__atomic_compare_exchange_n(&uts->rc, &none, rc, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* A count that bounds memory; it orders nothing. */
static bool enter(struct uts *uts)
{
	/* Relaxed: see above [uts:alive]. */
	if (__atomic_fetch_add(&uts->alive, 1, __ATOMIC_RELAXED) < uts->alive_most)
		return true;
	__atomic_fetch_sub(&uts->alive, 1, __ATOMIC_RELAXED);
	return false;
}

static void leave(struct uts *uts)
{
	/* Relaxed: see enter [uts:alive]. */
	__atomic_fetch_sub(&uts->alive, 1, __ATOMIC_RELAXED);
}

static void *uts_task(void *arg);

/* Makes a task of the pile's oldest node. Context: entered. */
static int spawn_branch(struct uts *uts, struct pile *pile)
{
	int rc = make_room((void **)&pile->branch, &pile->branch_room, pile->branch_count + 1,
		sizeof(struct branch *));
	struct branch *branch = rc ? NULL : malloc(sizeof(*branch));
	if (!branch)
		return -ENOMEM;
	*branch = (struct branch){.uts = uts, .node = pile->node[pile->first++]};
	rc = shunt_spawn(&branch->handle, uts_task, branch, NULL);
	if (rc)
		free(branch);
	else
		pile->branch[pile->branch_count++] = branch;
	return rc;
}

static int work_off(struct uts *uts, struct pile *pile, struct count *count)
{
	uint64_t until_spawn = uts->grain;
	int rc = 0;
	while (pile->first < pile->count && !rc) {
		if (--until_spawn == 0) {
			until_spawn = uts->grain;
			if (enter(uts)) {
				rc = spawn_branch(uts, pile);
				if (rc)
					leave(uts);
				continue;
			}
		}
		struct node node = pile->node[--pile->count];
		rc = expand(&uts->tree, &node, pile, count);
	}
	return rc;
}

static void join_branches(struct uts *uts, struct pile *pile, struct count *count)
{
	for (size_t i = 0; i < pile->branch_count; i++) {
		int rc = shunt_join(pile->branch[i]->handle, NULL);
		if (rc)
			refuse(uts, rc);
		add_count(count, &pile->branch[i]->count);
		free(pile->branch[i]);
	}
}

/* About one in `sample`, and the same ones every time. */
static bool is_sampled(const struct uts *uts, const struct node *node)
{
	return uts->subtree && ((unsigned)node->digest[0] << 16 | (unsigned)node->digest[1] << 8 |
				       node->digest[2]) %
					       uts->sample ==
				       0;
}

static void *uts_task(void *arg)
{
	struct branch *branch = arg;
	struct uts *uts = branch->uts;
	struct pile pile = {.node = NULL};
	bool sampled = is_sampled(uts, &branch->node);
	int64_t before = sampled ? shunt_now_ns() : 0;
	branch->count.tasks = 1;
	int rc = expand(&uts->tree, &branch->node, &pile, &branch->count);
	if (!rc)
		rc = work_off(uts, &pile, &branch->count);
	if (rc)
		refuse(uts, rc);
	free(pile.node);
	join_branches(uts, &pile, &branch->count);
	free(pile.branch);
	if (sampled)
		shunt_series_record(uts->subtree, shunt_now_ns() - before);
	leave(uts);
	return NULL;
}

/* ---- one iteration --------------------------------------------------------------------------- */

static int uts_body(struct shunt_run *run)
{
	struct uts *uts = shunt_run_state(run);
	struct branch root = {.uts = uts};
	make_root(&uts->tree, &root.node);
	uts->rc = 0;
	uts->alive = 1;
	shunt_measure_begin(run);
	int rc = shunt_spawn(&root.handle, uts_task, &root, NULL);
	if (!rc)
		rc = shunt_join(root.handle, NULL);
	shunt_measure_end(run);
	uts->found = root.count;
	if (!rc)
		rc = uts->rc;
	if (rc)
		shunt_run_explain(run, "a task of the tree could not be started: %s",
			strerror(-rc));
	return rc;
}

static void uts_verify(struct shunt_run *run)
{
	const struct uts *uts = shunt_run_state(run);
	shunt_check_int(run, "nodes", (int64_t)uts->expected.nodes, (int64_t)uts->found.nodes);
	shunt_check_int(run, "leaves", (int64_t)uts->expected.leaves, (int64_t)uts->found.leaves);
	shunt_check_int(run, "height", (int64_t)uts->expected.height, (int64_t)uts->found.height);
	shunt_operations(run, uts->found.nodes);
	shunt_metric(run, "nodes_per_task", (double)uts->found.nodes / (double)uts->found.tasks,
		"1", "none");
}

static void uts_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	footprint->tasks = (uint64_t)shunt_run_int(run, "alive") + 1;
	/* Each task's pile: a few levels of children. */
	footprint->bytes = footprint->tasks * (sizeof(struct branch) + 1024);
}

static int uts_resolve(struct shunt_run *run, struct shunt_error *err)
{
	const struct tree *tree = &trees[shunt_run_int(run, "tree")];
	if (shunt_run_int(run, "depth") && tree->law == BINOMIAL)
		return shunt_fail(err, -EINVAL, "tree=%s is binomial: it has no depth to set",
			tree->name);
	return 0;
}

/* A tree cut at another depth has no published count: it is walked once, without tasks. */
static int count_alone(struct uts *uts)
{
	struct pile pile = {.node = NULL};
	struct node node;
	make_root(&uts->tree, &node);
	int rc = expand(&uts->tree, &node, &pile, &uts->expected);
	while (!rc && pile.count) {
		node = pile.node[--pile.count];
		rc = expand(&uts->tree, &node, &pile, &uts->expected);
	}
	free(pile.node);
	return rc;
}

static int uts_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct uts *uts = aligned_alloc(64, sizeof(*uts));
	shunt_run_set_state(run, uts);
	if (!uts)
		return -ENOMEM;
	memset(uts, 0, sizeof(*uts));
	uts->tree = trees[shunt_run_int(run, "tree")];
	uts->alive_most = (uint64_t)shunt_run_int(run, "alive");
	uts->grain = (uint64_t)shunt_run_int(run, "grain");
	uts->sample = (uint64_t)shunt_run_int(run, "sample");
	unsigned depth = (unsigned)shunt_run_int(run, "depth");
	uts->published = depth == 0 || depth == uts->tree.depth;
	uts->expected = (struct count){uts->tree.nodes, uts->tree.leaves, uts->tree.height, 0};
	int rc = 0;
	if (!uts->published) {
		uts->tree.depth = depth;
		uts->expected = (struct count){0};
		rc = count_alone(uts);
	}
	if (!rc)
		rc = crowd_series(run, "subtree", uts->sample, &uts->subtree);
	return rc ? shunt_fail(err, rc, "no memory for the tree") : 0;
}

static void uts_teardown(struct shunt_run *run)
{
	free(shunt_run_state(run));
}

static const struct shunt_param uts_params[] = {
	{"tree", SHUNT_PARAM_CHOICE, "T1", 0, 0, tree_names,
		"T1, T5: geometric, 4 million nodes; T3: binomial, 4 million, height 1,572; L: 100 "
		"million"},
	{"depth", SHUNT_PARAM_COUNT, "0", 0, 30, NULL,
		"cut a geometric tree at this depth instead of the published one (0)"},
	{"grain", SHUNT_PARAM_COUNT, "10", 1, 1000000, NULL,
		"nodes that a task expands itself per task it spawns; 1: one task per node"},
	{"alive", SHUNT_PARAM_COUNT, "1000", 1, 100000000, NULL, "most tasks alive at once"},
	{"sample", SHUNT_PARAM_COUNT, "256", 0, 1 << 24, NULL,
		"time the subtree of about one task in N (0: none)"},
	{.name = NULL},
};

const struct shunt_workload shunt_workload_uts = {
	.name = "uts",
	.summary = "counts the nodes of a published unbalanced tree",
	.description = "Tasks expand a tree whose shape comes from SHA-1 hashes; its size is "
		       "checked against the published one. It shows how a scheduler balances work "
		       "that cannot be divided in advance.",
	.operation = "one node",
	.cost_metric = "ns_per_node",
	.params = uts_params,
	.small = "depth=5 grain=1 alive=10 sample=1|tree=T5 depth=3 grain=3 alive=4",
	.resolve = uts_resolve,
	.footprint = uts_footprint,
	.setup = uts_setup,
	.body = uts_body,
	.verify = uts_verify,
	.teardown = uts_teardown,
};
