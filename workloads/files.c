/* SPDX-License-Identifier: MIT */
/*
 * files: tasks read and write blocks of a real file, and every block's content is checked.
 *
 * The file is made anew, in a temporary folder, and removed in the end; nothing else is written.
 * Each task has a part of it to itself, so that what a block must hold is known exactly: the words
 * of a sequence that begins with the block's number and how often it was written. A read checks
 * that, and so does verify, for all blocks, by plain calls.
 *
 * What it measures depends on where the file lies and on what the page cache has of it: with a file
 * smaller than memory, reads measure the way to the kernel and back. `sync` makes tasks wait for
 * the disk. Compare io=epoll, whose workers wait with them, uring, pool and threads.
 */
#include "core/io.h"
#include "core/rng.h"
#include "workloads/crowd.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

enum order { RANDOM, SEQUENTIAL };
static const char *const order_names[] = {"random", "sequential", NULL};

struct part {
	struct files *files;
	uint64_t first, blocks; /* its own */
	uint64_t operations, seed, next;
	struct shunt_fd fd;
	uint64_t *buffer;
	uint64_t reads, writes, wrong;
	int rc;
};

struct files {
	struct shunt_run *run;
	uint64_t task_count, blocks, block_bytes, operations, sync, seed;
	unsigned write_percent;
	enum order order;
	uint32_t *version; /* of each block: how often it was written */
	struct part *part;
	uint64_t *buffers; /* one for each task, and one more */
	struct crowd crowd;
	struct shunt_series *read, *write, *fsync;
	char folder[PATH_MAX - 8], path[PATH_MAX];
	bool made;
};

/* ---- a block's content ----------------------------------------------------------------------- */

static uint64_t first_word(const struct files *files, uint64_t block)
{
	uint64_t state = files->seed ^ block << 32 ^ files->version[block];

	return shunt_splitmix64(&state);
}

static void fill(const struct files *files, uint64_t block, uint64_t *buffer)
{
	uint64_t word = first_word(files, block);

	for (uint64_t i = 0; i < files->block_bytes / sizeof(word); i++)
		buffer[i] = word + i * UINT64_C(0x9e3779b97f4a7c15);
}

static bool holds(const struct files *files, uint64_t block, const uint64_t *buffer)
{
	uint64_t word = first_word(files, block);

	for (uint64_t i = 0; i < files->block_bytes / sizeof(word); i++)
		if (buffer[i] != word + i * UINT64_C(0x9e3779b97f4a7c15))
			return false;
	return true;
}

/* ---- a task ---------------------------------------------------------------------------------- */

/* The whole block, in as many calls as it takes. -EIO: the file ends before. */
static int transfer(const struct part *self, uint64_t block, bool writes)
{
	uint64_t bytes = self->files->block_bytes;
	int64_t at = (int64_t)(block * bytes), n;

	for (uint64_t done = 0; done < bytes; done += (uint64_t)n) {
		char *buffer = (char *)self->buffer + done;

		n = writes ? shunt_io_write(self->fd, buffer, bytes - done, at + (int64_t)done)
			   : shunt_io_read(self->fd, buffer, bytes - done, at + (int64_t)done);
		if (n <= 0)
			return n ? (int)n : -EIO;
	}
	return 0;
}

static int write_block(struct part *self, uint64_t block)
{
	struct files *files = self->files;

	files->version[block]++;
	fill(files, block, self->buffer);
	int64_t begin_ns = shunt_now_ns();
	int rc = transfer(self, block, true);

	shunt_series_record(files->write, shunt_now_ns() - begin_ns);
	if (rc || !files->sync || ++self->writes % files->sync)
		return rc;
	begin_ns = shunt_now_ns();
	rc = shunt_io_fsync(self->fd);
	shunt_series_record(files->fsync, shunt_now_ns() - begin_ns);
	return rc;
}

static int read_block(struct part *self, uint64_t block)
{
	int64_t begin_ns = shunt_now_ns();
	int rc = transfer(self, block, false);

	shunt_series_record(self->files->read, shunt_now_ns() - begin_ns);
	self->reads += !rc;
	self->wrong += !rc && !holds(self->files, block, self->buffer);
	return rc;
}

static int run_operations(struct part *self)
{
	const struct files *files = self->files;
	struct shunt_rng rng;
	int rc = 0;

	shunt_rng_init(&rng, self->seed);
	for (uint64_t i = 0; !rc && i < self->operations; i++) {
		uint64_t block = files->order == RANDOM ? shunt_rng_below(&rng, self->blocks)
							: self->next++ % self->blocks;
		bool writes = shunt_rng_below(&rng, 100) < files->write_percent;

		rc = writes ? write_block(self, self->first + block)
			    : read_block(self, self->first + block);
	}
	return rc;
}

static void *part_run(void *arg)
{
	struct part *self = arg;
	int rc = shunt_io_open(self->files->path, O_RDWR, 0, &self->fd), closed;

	if (!rc) {
		rc = run_operations(self);
		closed = shunt_io_close(self->fd);
		rc = rc ? rc : closed;
	}
	self->rc = rc;
	return NULL;
}

/* ---- one iteration --------------------------------------------------------------------------- */

static int explain(const struct files *files, int rc)
{
	shunt_run_explain(files->run, "the file %s could not be read or written: %s%s", files->path,
		strerror(-rc),
		rc == -ENOSPC || rc == -EDQUOT
			? "; make room there, or name another folder with folder=DIR"
			: "");
	return rc;
}

static int files_body(struct shunt_run *run)
{
	struct files *files = shunt_run_state(run);

	for (uint64_t i = 0; i < files->task_count; i++) {
		struct part *part = &files->part[i];

		part->operations = crowd_share(files->operations, files->task_count, i);
		part->reads = part->writes = part->wrong = 0;
	}
	int rc = crowd_start(run, &files->crowd, files->task_count, part_run, files->part,
		sizeof(*files->part));
	int joined = crowd_join(&files->crowd, NULL);

	for (uint64_t i = 0; !rc && i < files->crowd.started; i++)
		if (files->part[i].rc)
			rc = explain(files, files->part[i].rc);
	return rc ? rc : joined;
}

/* Blocks of the file that do not hold what was last written; all, if it cannot be read. */
static uint64_t blocks_wrong(const struct files *files)
{
	uint64_t *buffer = files->buffers, wrong = 0;
	int fd = open(files->path, O_RDONLY | O_CLOEXEC);

	for (uint64_t i = 0; i < files->blocks; i++)
		wrong += pread(fd, buffer, files->block_bytes, (off_t)(i * files->block_bytes)) !=
				 (ssize_t)files->block_bytes ||
			 !holds(files, i, buffer);
	close(fd);
	return wrong;
}

static void files_verify(struct shunt_run *run)
{
	const struct files *files = shunt_run_state(run);
	uint64_t wrong = 0, reads = 0;

	for (uint64_t i = 0; i < files->task_count; i++) {
		wrong += files->part[i].wrong;
		reads += files->part[i].reads;
	}
	shunt_check_int(run, "reads_wrong", 0, (int64_t)wrong);
	shunt_check_int(run, "blocks_wrong", 0, (int64_t)blocks_wrong(files));
	shunt_operations(run, files->operations);
	shunt_metric(run, "reads", (double)reads, "1", "none");
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int files_resolve(struct shunt_run *run, struct shunt_error *err)
{
	int64_t block = shunt_run_int(run, "block"), size = shunt_run_int(run, "size");

	if (block % (int64_t)sizeof(uint64_t))
		return shunt_fail(err, -EINVAL, "block=%lld is not a multiple of 8",
			(long long)block);
	if (size / block < shunt_run_int(run, "tasks"))
		return shunt_fail(err, -EINVAL,
			"size=%lld has %lld blocks of %lld, and each of %lld tasks needs one of "
			"its own: a larger size, or fewer tasks",
			(long long)size, (long long)(size / block), (long long)block,
			(long long)shunt_run_int(run, "tasks"));
	return 0;
}

static void files_footprint(const struct shunt_run *run, struct shunt_footprint *footprint)
{
	uint64_t tasks = (uint64_t)shunt_run_int(run, "tasks");
	uint64_t block = (uint64_t)shunt_run_int(run, "block");

	footprint->tasks = tasks + 1;
	footprint->bytes = tasks * (sizeof(struct part) + block) +
			   (uint64_t)shunt_run_int(run, "size") / block * sizeof(uint32_t);
	footprint->descriptors = tasks;
}

static int write_all(const struct files *files, int fd)
{
	for (uint64_t i = 0; i < files->blocks; i++) {
		fill(files, i, files->buffers);
		for (uint64_t done = 0; done < files->block_bytes;) {
			ssize_t n = pwrite(fd, (char *)files->buffers + done,
				files->block_bytes - done, (off_t)(i * files->block_bytes + done));

			if (n <= 0)
				return n ? -errno : -EIO;
			done += (uint64_t)n;
		}
	}
	return 0;
}

/* A folder of its own, with the file in it: nothing that was there before is touched. */
static int make_file(struct files *files, const char *folder, struct shunt_error *err)
{
	const char *temporary = getenv("TMPDIR");

	folder = *folder ? folder : temporary && *temporary ? temporary : "/tmp";
	if (snprintf(files->folder, sizeof(files->folder), "%s/shunt-files-XXXXXX", folder) >=
		(int)sizeof(files->folder))
		return shunt_fail(err, -ENAMETOOLONG, "folder=%.60s… is too long", folder);
	if (!mkdtemp(files->folder))
		return shunt_fail(err, -errno,
			"no folder can be made in %s: %s; name another one with folder=DIR", folder,
			strerror(errno));
	files->made = true;
	snprintf(files->path, sizeof(files->path), "%s/data", files->folder);
	int fd = open(files->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = fd < 0 ? -errno : write_all(files, fd);

	if (fd >= 0 && close(fd) && !rc)
		rc = -errno;
	return rc ? shunt_fail(err, rc,
			    "a file of %llu bytes cannot be made in %s: %s; name another folder "
			    "with folder=DIR, or a smaller size",
			    (unsigned long long)(files->blocks * files->block_bytes), folder,
			    strerror(-rc))
		  : 0;
}

static void divide(struct files *files)
{
	for (uint64_t i = 0, first = 0; i < files->task_count; i++) {
		struct part *part = &files->part[i];

		*part = (struct part){.files = files,
			.first = first,
			.blocks = crowd_share(files->blocks, files->task_count, i),
			.seed = files->seed + i,
			.buffer =
				files->buffers + i * files->block_bytes / sizeof(*files->buffers)};
		first += part->blocks;
	}
}

static int files_setup(struct shunt_run *run, struct shunt_error *err)
{
	struct files *files = calloc(1, sizeof(*files));

	shunt_run_set_state(run, files);
	if (!files)
		return -ENOMEM;
	files->run = run;
	files->task_count = (uint64_t)shunt_run_int(run, "tasks");
	files->block_bytes = (uint64_t)shunt_run_int(run, "block");
	files->blocks = (uint64_t)shunt_run_int(run, "size") / files->block_bytes;
	files->operations = (uint64_t)shunt_run_int(run, "operations");
	files->write_percent = (unsigned)shunt_run_int(run, "writes");
	files->sync = (uint64_t)shunt_run_int(run, "sync");
	files->order = (enum order)shunt_run_int(run, "order");
	files->seed = shunt_run_seed(run);
	files->read = shunt_series(run, "read");
	files->write = shunt_series(run, "write");
	files->fsync = files->sync ? shunt_series(run, "fsync") : files->write;
	files->version = calloc(files->blocks, sizeof(*files->version));
	files->part = calloc(files->task_count, sizeof(*files->part));
	files->buffers = calloc(files->task_count, files->block_bytes);
	if (!files->read || !files->write || !files->fsync || !files->version || !files->part ||
		!files->buffers || crowd_init(&files->crowd, files->task_count))
		return shunt_fail(err, -ENOMEM, "no memory for %llu tasks",
			(unsigned long long)files->task_count);
	divide(files);
	return make_file(files, shunt_run_text(run, "folder"), err);
}

static void files_teardown(struct shunt_run *run)
{
	struct files *files = shunt_run_state(run);

	if (!files)
		return;
	if (files->made) {
		unlink(files->path);
		rmdir(files->folder);
	}
	crowd_fini(&files->crowd);
	free(files->buffers);
	free(files->part);
	free(files->version);
	free(files);
}

static const struct shunt_param files_params[] = {
	{"tasks", SHUNT_PARAM_COUNT, "8", 1, 100000, NULL,
		"tasks, each with a part of the file to itself"},
	{"size", SHUNT_PARAM_SIZE, "16M", 512, INT64_C(1) << 40, NULL, "bytes of the file"},
	{"block", SHUNT_PARAM_SIZE, "4k", 8, 1 << 26, NULL, "bytes of a read or a write"},
	{"operations", SHUNT_PARAM_COUNT, "20k", 1, INT64_C(1) << 40, NULL,
		"reads and writes in total"},
	{"order", SHUNT_PARAM_CHOICE, "random", 0, 0, order_names, "which block comes next"},
	{"writes", SHUNT_PARAM_COUNT, "50", 0, 100, NULL, "percent of operations that write"},
	{"sync", SHUNT_PARAM_COUNT, "0", 0, INT64_C(1) << 40, NULL,
		"a task waits for the disk after so many of its writes; 0: never"},
	{"folder", SHUNT_PARAM_TEXT, "", 0, 0, NULL,
		"where a temporary folder is made for the file; empty: TMPDIR, or /tmp"},
	{.name = NULL},
};

const struct shunt_workload shunt_workload_files = {
	.name = "files",
	.summary = "tasks read and write blocks of a file",
	.description = "Tasks read and write blocks of a file that is made for it, at random or in "
		       "order, and check what they read. It tells what a file's operation costs "
		       "beside the plain call: compare io=pool, io=uring, io=epoll, which holds up "
		       "its worker, and threads.",
	.operation = "one block read or written",
	.cost_metric = "ns_per_block",
	.needs = SHUNT_CAN_BLOCK | SHUNT_CAN_FILES,
	.params = files_params,
	.small = "tasks=3 size=64k operations=200|"
		 "tasks=2 size=40k order=sequential writes=100 sync=20 operations=60",
	.resolve = files_resolve,
	.footprint = files_footprint,
	.setup = files_setup,
	.body = files_body,
	.verify = files_verify,
	.teardown = files_teardown,
};
