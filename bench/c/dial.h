// Making the load's connections: standing ones, and those of the kind "connect", which
// last for one message.
#ifndef BENCH_DIAL_H
#define BENCH_DIAL_H

#include "conn.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>

static struct namespaces spaces;
static long per_ns = 1;
static int here; // the namespace that the thread is in
static int poller;

// again has, for each namespace, the slots to connect again; redial goes through those
// namespaces that are in again_order, so that each is entered once a batch.
static struct conn **again;
static int *again_order, again_count;

static inline void enter(int ns)
{
	if (here != ns)
		ns_enter(&spaces, ns);
	here = ns;
}

static inline int space(const struct conn *conn) { return (int)(conn->id % (uint32_t)spaces.count); }

// open_socket makes a socket in the thread's namespace. It closes with a reset, so that
// no port lingers.
static int open_socket(int flags)
{
	struct linger reset = {.l_onoff = 1};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		err(1, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		err(1, "setsockopt");
	return fd;
}

// register_conn makes the poller report edges of a connection.
static void register_conn(struct conn *conn, uint32_t mask)
{
	struct epoll_event event = {.events = mask | EPOLLET, .data.ptr = conn};

	if (epoll_ctl(poller, EPOLL_CTL_ADD, conn->fd, &event) < 0)
		err(1, "epoll_ctl");
}

// dial makes a standing connection.
static void dial(struct conn *conn)
{
	struct timeval patience = {.tv_sec = 10};

	enter(space(conn));
	conn->fd = open_socket(0);
	if (setsockopt(conn->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		err(1, "setsockopt");
	if (connect(conn->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "connect");
	if (fcntl(conn->fd, F_SETFL, O_NONBLOCK) < 0)
		err(1, "fcntl");
	register_conn(conn, EPOLLIN | EPOLLOUT);
}

// redial_later puts a slot on its namespace's list.
static void redial_later(struct conn *conn)
{
	int ns = space(conn);

	if (!again[ns])
		again_order[again_count++] = ns;
	conn->next = again[ns];
	again[ns] = conn;
}

// hang_up ends a short connection with a reset.
static void hang_up(struct conn *conn)
{
	close(conn->fd);
	conn->fd = -1;
	if (keep)
		redial_later(conn);
}

// dial_short begins a short connection. Over lo the handshake is over when connect(2)
// returns, EINPROGRESS or not, and the message goes out at once; elsewhere the socket
// does not take it yet, and an edge says when.
static void dial_short(struct conn *conn)
{
	now = nanoseconds(CLOCK_MONOTONIC);
	begin(conn);
	conn->fd = open_socket(SOCK_NONBLOCK);
	if (connect(conn->fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS)
		err(1, "connect");
	pump(conn);
	register_conn(conn, conn->sent == conn->started ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

// redial connects what has been hung up, namespace by namespace.
static void redial(void)
{
	for (int i = 0; i < again_count; i++) {
		struct conn *conn = again[again_order[i]];

		again[again_order[i]] = NULL;
		enter(again_order[i]);
		for (; conn; conn = conn->next)
			dial_short(conn);
	}
	again_count = 0;
}

// open_conns connects round by round, so that neighbours are in different namespaces.
static void open_conns(void)
{
	here = spaces.count;
	again = must_alloc((size_t)spaces.count, sizeof(*again));
	again_order = must_alloc((size_t)spaces.count, sizeof(*again_order));
	conn_count = per_ns * spaces.count;
	conns = must_alloc((size_t)conn_count, sizeof(*conns));
	while (times_mask + 1 < (uint32_t)depth)
		times_mask = times_mask * 2 + 1;
	for (long i = 0; i < conn_count; i++) {
		conns[i].id = (uint32_t)i;
		conns[i].reply_size = (uint32_t)size;
		conns[i].times = must_alloc(times_mask + 1, sizeof(uint64_t));
		conns[i].fd = -1;
		if (kind != CONNECT)
			dial(&conns[i]);
	}
	enter(spaces.count);
}

#endif
