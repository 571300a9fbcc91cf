/* SPDX-License-Identifier: MIT */
/*
 * The client of an echo server: one kernel thread, beside whatever serves, that opens the
 * connections, sends each request, and compares every byte that comes back.
 *
 * It is the same code for the workload `echo` and for the floors that it is held against, and knows
 * of no scheduler. A closed loop has one request on each connection at a time. An open loop sends
 * each request when the table says, whatever is still unanswered; time counts from there. Request i
 * goes over connection i mod connections.
 */
#ifndef SHUNT_WORKLOADS_ECHO_CLIENT_H
#define SHUNT_WORKLOADS_ECHO_CLIENT_H

#include "workloads/arrivals.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct echo_connection;

struct echo_client {
	/* Set by the caller. */
	bool local; /* Unix sockets in place of TCP on the loopback */
	unsigned connections;
	uint64_t requests, seed;
	size_t bytes;                        /* of a request */
	const struct shunt_arrival *arrival; /* `requests` of them; NULL: a closed loop */
	/* All connections are open and have echoed once. Measured time begins when it returns. */
	void (*ready)(struct echo_client *client);
	void *arg;

	/* What was found; of the measured time. */
	int64_t start_ns, end_ns;
	uint64_t cpu_ns;   /* of the client's thread */
	int64_t *response; /* ns, of each request; -1: no answer */
	int64_t *lag;      /* ns, of an open loop: by how much it was sent late */
	uint64_t replies, wrong_bytes;
	uint64_t sent_bytes, received_bytes; /* and before it */
	char error[160];                     /* "": none */

	/* Private. */
	struct sockaddr_storage address;
	socklen_t address_bytes;
	char *text, *data;
	struct echo_connection *connection;
	int epoll;
	int64_t awake_ns;  /* the last part of a wait for an arrival, computed through */
	uint64_t released; /* of an open loop: requests that were due so far */
};

/* Allocates, 0 or -ENOMEM; and frees. */
int echo_client_init(struct echo_client *client);
void echo_client_fini(struct echo_client *client);

/* A listening socket for it, of a fresh address: a descriptor, or a negative errno. */
int echo_client_listen(struct echo_client *client);

/* Sets the option that TCP needs on both sides: no message waits for another one. */
void echo_no_delay(int fd);

/* Opens the connections, calls ready(), sends and compares. What went wrong is in `error`. Blocks
 * the thread. Then close() ends the connections, and with them what the server has for each. */
void echo_client_run(struct echo_client *client);
void echo_client_close(struct echo_client *client);

/* How many sockets this process has open, by /proc/self/fd. */
int echo_sockets(void);

#endif
