/* SPDX-License-Identifier: MIT */
/*
 * engine=lmdb: the database LMDB (Debian: liblmdb-dev), in a file of its own.
 *
 * The file is made in $TMPDIR and has no name from then on: nothing that was there before is
 * written, and nothing is left, however the process ends. It is not flushed to the disk
 * (MDB_NOSYNC): the processor's work is what is measured. A read is a transaction of its own, not
 * bound to a thread (MDB_NOTLS). No task gives way inside, so there are no more readers at a time
 * than workers. Writers are one at a time: a lock of tasks holds the others back, so that none
 * waits in the database's own lock, which would block its worker.
 */
#include "workloads/kv.h"

#include "core/sched.h"

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* More than workers: what reads at one time. */
#define READERS 4096
/* Of a value, beside it: its key, its node, the page that is not full. */
#define OVERHEAD    128
#define BATCH       10000 /* of a load, by one transaction */
#define SPARE_BYTES (64u << 20)

struct kv_store {
	MDB_env *env;
	MDB_dbi dbi;
	size_t bytes;
	struct shunt_mutex writer;
};

/* LMDB's own codes are below every errno. */
static int said(int rc)
{
	return rc == 0 ? 0 : rc > 0 ? -rc : rc == MDB_MAP_FULL ? -ENOSPC : -EIO;
}

static int fail(struct shunt_error *err, int rc, const char *what)
{
	return shunt_fail(err, said(rc), "engine=lmdb: %s: %s", what, mdb_strerror(rc));
}

static void lmdb_close(struct kv_store *store)
{
	if (store && store->env)
		mdb_env_close(store->env);
	free(store);
}

/* Opens the environment in a new folder, and takes its names away. */
static int open_unnamed(MDB_env *env, struct shunt_error *err)
{
	const char *temporary = getenv("TMPDIR");
	char folder[4000], file[4096];

	snprintf(folder, sizeof(folder), "%s/shunt-kv-XXXXXX",
		temporary && *temporary ? temporary : "/tmp");
	if (!mkdtemp(folder))
		return shunt_fail(err, -errno,
			"engine=lmdb: cannot make the folder %s: %s; set "
			"TMPDIR to one that takes new files",
			folder, strerror(errno));
	int rc = mdb_env_open(env, folder, MDB_NOTLS | MDB_NOSYNC | MDB_NORDAHEAD, 0600);

	for (int i = 0; i < 2; i++) {
		snprintf(file, sizeof(file), "%s/%s", folder, i ? "lock.mdb" : "data.mdb");
		unlink(file);
	}
	rmdir(folder);
	return rc ? fail(err, rc, folder) : 0;
}

static MDB_val key_of(uint64_t number, uint64_t *key)
{
	*key = kv_key(number);
	return (MDB_val){sizeof(*key), key};
}

/* Key by key in order, as MDB_APPEND wants them. */
static int load(struct kv_store *store, MDB_txn *txn, uint64_t from, uint64_t to)
{
	char value[KV_VALUE_MOST];
	int rc = 0;

	for (uint64_t number = from; number < to && !rc; number++) {
		uint64_t own;
		MDB_val key = key_of(number, &own), data = {store->bytes, value};

		kv_write(value, store->bytes, kv_key(number), 0);
		rc = mdb_put(txn, store->dbi, &key, &data, MDB_APPEND);
	}
	return rc;
}

static int fill(struct kv_store *store, uint64_t keys)
{
	int rc = 0;

	for (uint64_t from = 0; from < keys && !rc; from += BATCH) {
		uint64_t to = from + BATCH < keys ? from + BATCH : keys;
		MDB_txn *txn;

		rc = mdb_txn_begin(store->env, NULL, 0, &txn);
		if (rc)
			break;
		if (from == 0)
			rc = mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &store->dbi);
		if (!rc)
			rc = load(store, txn, from, to);
		if (rc)
			mdb_txn_abort(txn);
		else
			rc = mdb_txn_commit(txn);
	}
	return rc;
}

static int lmdb_open(struct kv_store **made, uint64_t keys, size_t bytes, struct shunt_error *err)
{
	struct kv_store *store = calloc(1, sizeof(*store));
	int rc = store ? mdb_env_create(&store->env) : ENOMEM;

	if (!rc)
		rc = mdb_env_set_maxreaders(store->env, READERS);
	if (!rc)
		rc = mdb_env_set_mapsize(store->env, keys * (bytes + OVERHEAD) * 2 + SPARE_BYTES);
	rc = rc ? fail(err, rc, "the database") : open_unnamed(store->env, err);
	if (!rc) {
		store->bytes = bytes;
		rc = fill(store, keys);
		rc = rc ? fail(err, rc, "its keys cannot be written") : 0;
	}
	if (rc)
		lmdb_close(store);
	else
		*made = store;
	return rc;
}

static int lmdb_get(struct kv_store *store, uint64_t number, void *value)
{
	uint64_t own;
	MDB_val key = key_of(number, &own), data;
	MDB_txn *txn;
	int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);

	if (rc)
		return said(rc);
	rc = mdb_get(txn, store->dbi, &key, &data);
	if (!rc && data.mv_size == store->bytes)
		memcpy(value, data.mv_data, store->bytes);
	else if (!rc)
		rc = MDB_CORRUPTED;
	mdb_txn_abort(txn);
	return said(rc);
}

static int write_next(struct kv_store *store, uint64_t number, MDB_txn *txn)
{
	uint64_t own;
	char value[KV_VALUE_MOST];
	MDB_val key = key_of(number, &own), data;
	int rc = mdb_get(txn, store->dbi, &key, &data);

	if (rc)
		return rc;
	kv_write(value, store->bytes, kv_key(number), kv_version(data.mv_data) + 1);
	data = (MDB_val){store->bytes, value};
	return mdb_put(txn, store->dbi, &key, &data, 0);
}

static int lmdb_put(struct kv_store *store, uint64_t number)
{
	MDB_txn *txn;
	int rc = shunt_mutex_lock(&store->writer), rest;

	if (rc)
		return rc;
	rc = mdb_txn_begin(store->env, NULL, 0, &txn);
	if (!rc) {
		rc = write_next(store, number, txn);
		if (rc)
			mdb_txn_abort(txn);
		else
			rc = mdb_txn_commit(txn);
	}
	rest = shunt_mutex_unlock(&store->writer);
	return rc ? said(rc) : rest;
}

static int lmdb_scan(struct kv_store *store, uint64_t number, uint64_t count, struct kv_sums *sums)
{
	uint64_t own, end = sums->entries + count;
	MDB_val key = key_of(number, &own), data;
	MDB_cursor *cursor = NULL;
	MDB_txn *txn;
	int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);

	if (rc)
		return said(rc);
	rc = mdb_cursor_open(txn, store->dbi, &cursor);
	if (!rc)
		rc = mdb_cursor_get(cursor, &key, &data, MDB_SET_KEY);
	while (!rc) {
		memcpy(&own, key.mv_data, sizeof(own));
		sums->keys += own;
		sums->versions += kv_version(data.mv_data);
		if (++sums->entries == end)
			break;
		rc = mdb_cursor_get(cursor, &key, &data, MDB_NEXT);
	}
	if (cursor)
		mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return said(rc);
}

const struct kv_engine kv_lmdb = {"lmdb", 1000, 18000, 36, lmdb_open, lmdb_close, lmdb_get,
	lmdb_put, lmdb_scan};
