/* SPDX-License-Identifier: MIT */
/* Clauses about input and output: files, which some schedulers have alone. */
#include "backends/test/conformance_io.h"

#include <stdlib.h>
#include <string.h>

static void *a_file_has_offsets(void *arg)
{
	char path[] = "/tmp/shunt-io-XXXXXX", text[8] = "";
	struct shunt_fd file;
	int number = mkstemp(path);
	EXPECT(number >= 0);
	close(number);
	EXPECT_INT(0, shunt_io_open(path, O_RDWR, 0, &file));
	EXPECT_INT(6, shunt_io_write(file, "abcdef", 6, 0));
	EXPECT_INT(2, shunt_io_write(file, "XY", 2, 2));
	EXPECT_INT(0, shunt_io_fsync(file));
	EXPECT_INT(4, shunt_io_read(file, text, 4, 1));
	EXPECT(!memcmp(text, "bXYe", 4));
	EXPECT_INT(6, shunt_io_read(file, text, 8, SHUNT_IO_CURRENT));
	EXPECT_INT(0, shunt_io_read(file, text, 8, SHUNT_IO_CURRENT));
	EXPECT_INT(0, shunt_io_close(file));
	unlink(path);
	EXPECT_INT(-ENOENT, shunt_io_open(path, O_RDONLY, 0, &file));
	return arg;
}

#define PAGE    512
#define READERS 8

struct file_reader {
	const char *path;
	int read, late, wrong;
};

static void *read_under_deadlines(void *arg)
{
	struct file_reader *self = arg;
	struct shunt_fd file;
	char text[PAGE];
	self->wrong += shunt_io_open(self->path, O_RDONLY, 0, &file) != 0;
	for (int i = 0; i < 60; i++) {
		int64_t deadline = i % 3 ? shunt_now_ns() + i * 400 : SHUNT_FOREVER;
		int64_t n = shunt_io_read_until(file, text, PAGE, i % READERS * PAGE, deadline);
		self->late += n == -ETIMEDOUT;
		self->read += n == PAGE;
		for (int k = 0; n == PAGE && k < PAGE; k++)
			self->wrong += text[k] != 'a' + i % READERS;
	}
	self->wrong += shunt_io_close(file) != 0;
	return arg;
}

/* Each read is made whole, or gives up, however many stand before it. */
static void *files_are_read_under_deadlines(void *arg)
{
	char path[] = "/tmp/shunt-io-XXXXXX", text[PAGE];
	struct file_reader reader[READERS];
	struct shunt_handle task[READERS];
	int number = mkstemp(path);
	EXPECT(number >= 0);
	for (int i = 0; i < READERS; i++) {
		memset(text, 'a' + i, PAGE);
		EXPECT_INT(PAGE, write(number, text, PAGE));
	}
	close(number);
	for (int i = 0; i < READERS; i++) {
		reader[i] = (struct file_reader){.path = path};
		EXPECT_INT(0, shunt_spawn(&task[i], read_under_deadlines, &reader[i], NULL));
	}
	for (int i = 0; i < READERS; i++) {
		EXPECT_INT(0, shunt_join(task[i], NULL));
		EXPECT_INT(0, reader[i].wrong);
		EXPECT_INT(60, reader[i].read + reader[i].late);
		EXPECT(reader[i].read >= 20);
	}
	unlink(path);
	return arg;
}

static void *what_is_not_a_file_is_refused(void *arg)
{
	int number[2], all = under_test.caps & SHUNT_CAN_IO, before = dup(0);
	struct shunt_fd fd, other;
	close(before);
	EXPECT_INT(0, pipe2(number, O_CLOEXEC));
	EXPECT_INT(all ? 0 : -ENOTSUP, shunt_io_adopt(number[0], &fd));
	close(number[1]);
	if (!all)
		close(number[0]);
	EXPECT_INT(all ? 0 : -ENOTSUP, shunt_io_open("/dev/null", O_RDWR, 0, &other));
	if (all) {
		EXPECT_INT(0, shunt_io_close(fd));
		EXPECT_INT(0, shunt_io_close(other));
	}
	number[0] = dup(0);
	EXPECT_INT(before, number[0]); /* none is left open */
	close(number[0]);
	return arg;
}

const struct clause conformance_io_files[] = {
	CLAUSE("a file has offsets", FILES, a_file_has_offsets),
	CLAUSE("files are read under deadlines", FILES, files_are_read_under_deadlines),
	CLAUSE("what is not a file is refused, where there are files alone", FILES,
		what_is_not_a_file_is_refused),
	{.name = NULL},
};
