/* SPDX-License-Identifier: MIT */
/* If this passes, a file is written whole or not at all, and each failure says what to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/measure/store.h"
#include "core/param.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], path[128];
static struct shunt_error err;

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/shunt-store-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/it.json", folder);
	err.text[0] = '\0';
	return 0;
}

static int remove_folder(void **state)
{
	char command[160];

	(void)state;
	snprintf(command, sizeof(command), "chmod -R u+w %s; rm -r %s", folder, folder);
	return system(command);
}

/* How many files there are, the hidden ones too. */
static int files_in(const char *where)
{
	DIR *open = opendir(where);
	int count = 0;

	assert_non_null(open);
	while (readdir(open))
		count++;
	closedir(open);
	return count - 2;
}

static void holds(const char *text)
{
	char got[64] = "";
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	got[fread(got, 1, sizeof(got) - 1, file)] = '\0';
	fclose(file);
	assert_string_equal(got, text);
}

static int put(const char *where, const char *text, bool replace)
{
	return shunt_store(where, "record", text, strlen(text), replace, &err);
}

static void a_file_appears_alone(void **state)
{
	(void)state;
	assert_int_equal(put(path, "one\n", false), 0);
	holds("one\n");
	assert_int_equal(files_in(folder), 1);
}

static void it_works_in_the_working_folder(void **state)
{
	char before[4096];

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(put("it.json", "x", false), 0);
	assert_int_equal(chdir(before), 0);
	holds("x");
}

static void what_is_there_stays_unless_told(void **state)
{
	(void)state;
	assert_int_equal(put(path, "one", false), 0);
	assert_int_equal(put(path, "two", false), -EEXIST);
	assert_non_null(strstr(err.text, path));
	assert_non_null(strstr(err.text, "another name"));
	holds("one");
	assert_int_equal(put(path, "two", true), 0);
	holds("two");
	assert_int_equal(files_in(folder), 1);
}

static void a_dangling_link_is_not_followed(void **state)
{
	char target[128];

	(void)state;
	snprintf(target, sizeof(target), "%s/elsewhere", folder);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(put(path, "x", false), -EEXIST);
	assert_int_not_equal(access(target, F_OK), 0);
	assert_int_equal(files_in(folder), 1);
}

static void a_full_device_is_said(void **state)
{
	(void)state;
	assert_int_equal(put("/dev/full", "x", false), -ENOSPC);
	assert_non_null(strstr(err.text, "/dev/full"));
	assert_non_null(strstr(err.text, "free some space"));
	assert_int_equal(put("/dev/null", "x", false), 0);
}

static void a_full_disk_leaves_nothing(void **state)
{
	char *big = calloc(1, 1 << 20);

	(void)state;
	memset(big, 'x', (1 << 20) - 1);
	if (mount("shunt", folder, "tmpfs", 0, "size=64k") < 0) {
		free(big);
		skip(); /* it takes root */
	}
	int rc = put(path, big, false), left = files_in(folder);
	int small = put(path, "x", false);

	umount(folder);
	free(big);
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(left, 0);
	assert_int_equal(small, 0);
}

static void folders_and_missing_ones_are_said(void **state)
{
	char below[160];

	(void)state;
	assert_int_equal(put(folder, "x", false), -EISDIR);
	assert_non_null(strstr(err.text, "name a file in it"));
	assert_int_equal(put(folder, "x", true), -EISDIR);
	snprintf(below, sizeof(below), "%s/no/it.json", folder);
	assert_int_equal(put(below, "x", false), -ENOENT);
	assert_non_null(strstr(err.text, "mkdir -p"));
	assert_int_equal(put(path, "x", false), 0);
	snprintf(below, sizeof(below), "%s/it.json", path);
	assert_int_equal(put(below, "x", false), -ENOTDIR);
	snprintf(below, sizeof(below), "%s/new/", folder);
	assert_int_equal(put(below, "x", false), -EISDIR);
	assert_int_equal(put("", "x", false), -ENOENT);
	if (geteuid() == 0) { /* others may not write there anyway */
		assert_int_equal(put("/proc/it.json", "x", false), -ENOENT);
		assert_non_null(strstr(err.text, "takes no new files"));
	}
}

static void names_too_long_are_said(void **state)
{
	char *name = calloc(1, 5001);

	(void)state;
	memset(name, 'a', 5000);
	assert_int_equal(put(name, "x", false), -ENAMETOOLONG);
	free(name);
}

/* As a user without rights: root may write everywhere. */
static void a_forbidden_folder_is_said(void **state)
{
	(void)state;
	assert_int_equal(chmod(folder, 0555), 0);
	pid_t child = fork();
	if (child == 0) {
		if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
			_exit(2);
		int rc = put(path, "x", false);
		_exit(rc != -EACCES || !strstr(err.text, folder));
	}
	int status = 1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(files_in(folder), 0);
}

static void a_left_over_temporary_does_no_harm(void **state)
{
	char stale[192];

	(void)state;
	snprintf(stale, sizeof(stale), "%s/.it.json.%d-0.tmp", folder, (int)getpid());
	assert_int_equal(close(open(stale, O_CREAT | O_WRONLY, 0666)), 0);
	assert_int_equal(put(path, "x", false), 0);
	holds("x");
	assert_int_equal(files_in(folder), 2);
}

/* Refuses system calls with an errno from here on, in this process; -1 where there is no
 * seccomp. */
static int refuse(unsigned code, unsigned first, unsigned second)
{
	struct sock_filter rule[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | code),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(rule) / sizeof(*rule), rule};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* As some file systems and many containers do. */
static void a_refused_rename_or_link_loses_nothing(void **state)
{
	static const unsigned codes[] = {EPERM, EOPNOTSUPP, ENOSYS, EINVAL};

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		unsigned links = i % 2 ? (unsigned)SYS_linkat : (unsigned)SYS_renameat2;
#ifdef SYS_link
		links = i % 2 ? (unsigned)SYS_link : links;
#endif
		pid_t child = fork();
		if (child == 0) {
			if (refuse(codes[i / 2], SYS_renameat2, links) < 0)
				_exit(77);
			_exit(put(path, "x", false) != 0 || put(path, "y", false) != -EEXIST);
		}
		int status = 1;
		assert_int_equal(waitpid(child, &status, 0), child);
		if (WEXITSTATUS(status) == 77)
			skip();
		assert_int_equal(status, 0);
		holds("x");
		assert_int_equal(files_in(folder), 1);
		unlink(path);
	}
}

/* In place of the library's: a signal comes while it flushes. */
static int interruptions;

int fsync(int fd)
{
	if (interruptions > 0) {
		interruptions--;
		errno = EINTR;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

static void an_interrupted_flush_is_tried_again(void **state)
{
	(void)state;
	interruptions = 3;
	assert_int_equal(put(path, "x", false), 0);
	assert_int_equal(interruptions, 0);
	holds("x");
}

static void a_pipe_that_nobody_reads_is_not_waited_for(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(put(path, "x", true), -ENXIO);
	assert_non_null(strstr(err.text, "nobody reads from it"));
}

/* In place of the library's: where `hurried`, nobody has patience for as long as was asked. */
static bool hurried;

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	struct timespec wait = {timeout_ms / 1000, 0};

	assert_in_range(timeout_ms, 1000, 60000);
	if (hurried)
		wait = (struct timespec){0, 20000000};
	return ppoll(fds, count, &wait, NULL);
}

static void a_pipe_whose_reader_has_stopped_is_given_up(void **state)
{
	static char much[1 << 20];

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	int reader = open(path, O_RDONLY | O_NONBLOCK);
	hurried = true;
	int rc = shunt_store(path, "record", much, sizeof(much), true, &err);
	hurried = false;
	assert_int_equal(rc, -ETIMEDOUT);
	assert_non_null(strstr(err.text, "its reader has read nothing for 10 s"));
	close(reader);
}

/* More than the pipe holds: the writer waits whenever it is full. */
static void a_pipe_whose_reader_goes_on_gets_all(void **state)
{
	static char much[1 << 20], got[65536];
	size_t length = 0;
	ssize_t more;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	int reader = open(path, O_RDONLY | O_NONBLOCK);
	if (fork() == 0)
		_exit(shunt_store(path, "record", much, sizeof(much), true, &err) ? 1 : 0);
	fcntl(reader, F_SETFL, 0);
	alarm(60);
	while (length < sizeof(much) && (more = read(reader, got, sizeof(got))) >= 0)
		length += (size_t)more;
	alarm(0);
	int status = -1;
	wait(&status);
	assert_int_equal(status, 0);
	assert_int_equal(length, sizeof(much));
	close(reader);
}

static void a_pipe_gets_it_directly(void **state)
{
	char got[8] = "";

	(void)state;
	assert_int_equal(mkfifo(path, 0666), 0);
	int reader = open(path, O_RDONLY | O_NONBLOCK);
	assert_int_equal(put(path, "x", false), 0);
	assert_int_equal(read(reader, got, sizeof(got)), 1);
	close(reader);
	assert_int_equal(files_in(folder), 1);
}

/* Of many writers of one name, exactly one wins, and its bytes are there whole. */
static void one_of_many_writers_wins(void **state)
{
	enum { WRITERS = 8 };
	int won = 0;

	(void)state;
	for (int i = 0; i < WRITERS; i++) {
		if (fork() == 0) {
			char text[2] = {(char)('a' + i), '\0'};
			int rc = put(path, text, false);
			_exit(rc == 0 ? 0 : rc == -EEXIST ? 1 : 2);
		}
	}
	for (int i = 0; i < WRITERS; i++) {
		int status = -1;

		wait(&status);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
		won += WEXITSTATUS(status) == 0;
	}
	assert_int_equal(won, 1);
	assert_int_equal(files_in(folder), 1);
}

int main(void)
{
#define EACH(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
		EACH(a_file_appears_alone),
		EACH(it_works_in_the_working_folder),
		EACH(what_is_there_stays_unless_told),
		EACH(a_dangling_link_is_not_followed),
		EACH(a_full_device_is_said),
		EACH(a_full_disk_leaves_nothing),
		EACH(folders_and_missing_ones_are_said),
		EACH(names_too_long_are_said),
		EACH(a_forbidden_folder_is_said),
		EACH(a_left_over_temporary_does_no_harm),
		EACH(a_refused_rename_or_link_loses_nothing),
		EACH(an_interrupted_flush_is_tried_again),
		EACH(a_pipe_that_nobody_reads_is_not_waited_for),
		EACH(a_pipe_whose_reader_has_stopped_is_given_up),
		EACH(a_pipe_whose_reader_goes_on_gets_all),
		EACH(a_pipe_gets_it_directly),
		EACH(one_of_many_writers_wins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
