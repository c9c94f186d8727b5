// echo: an epoll echo server over many network namespaces, one thread, in C.
//
// It is the floor that other servers are measured against, so it does as little as
// an honest server can: one recv(2) and one send(2) a message, level-triggered, and
// no memory of a connection's own is touched unless its peer stops reading.
//
//   echo -m never|group|change|always -p PORT [-b BUFSIZE] [-e EVENTS] NETNS_PATH|@FILE...
//
// The modes differ in when the thread changes its namespace:
//   never   not after start-up
//   group   once for each distinct namespace of a batch, the current one first
//   change  whenever the next event, in the kernel's order, is in another one
//   always  into the namespace and back home, for every event
//
// It prints "ready" on stderr and, at SIGTERM, its counters as a line of JSON.
#define _GNU_SOURCE
#include "netns.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_NAMESPACES 65535

// A token is epoll's user data: the descriptor, its namespace and what to do with it.
// Nothing else is needed to serve a message.
enum kind { CONNECTION, BLOCKED, LISTENER, TERMINATE };

static inline uint64_t token(int fd, int ns, enum kind kind)
{
	return (uint64_t)kind << 48 | (uint64_t)ns << 32 | (uint32_t)fd;
}

static inline int token_fd(uint64_t token) { return (int)(uint32_t)token; }
static inline int token_ns(uint64_t token) { return (int)(token >> 32 & 0xffff); }
static inline enum kind token_kind(uint64_t token) { return (enum kind)(token >> 48); }

// pending is what a connection's peer has not taken yet.
struct pending {
	char *bytes;
	size_t from, to;
};

static enum mode { NEVER, GROUP, CHANGE, ALWAYS } mode;
static struct namespaces spaces;
static int here; // the namespace that the thread is in
static int port = 0;
static int poller;
static struct epoll_event *events;
static int max_events = 1024;
static char *buffer;
static size_t buffer_size = 64 << 10;
static struct pending *pending; // by descriptor
static bool terminating;

// Buckets of the batch being grouped. Positions are event index + 1; 0 is none.
static int *bucket_first, *bucket_last; // by namespace
static int *bucket_next;                // by event
static int *bucket_order;               // namespaces, as the batch brought them up

static struct {
	uint64_t events, waits, switches, blocked;
} counters;

// enter moves the thread to a namespace, unless it is there.
static inline void enter(int ns)
{
	if (here == ns)
		return;
	ns_enter(&spaces, ns);
	here = ns;
	counters.switches++;
}

// interest sets what the poller reports a descriptor for: epoll_ctl(2).
static void interest(int operation, uint64_t token, uint32_t mask)
{
	struct epoll_event event = {.events = mask, .data.u64 = token};

	if (epoll_ctl(poller, operation, token_fd(token), &event) < 0)
		err(1, "epoll_ctl");
}

static void close_connection(uint64_t token)
{
	int fd = token_fd(token);

	free(pending[fd].bytes);
	memset(&pending[fd], 0, sizeof(pending[fd]));
	close(fd);
}

// block keeps what the peer did not take, and stops reading until it has.
static void block(uint64_t tok, const char *bytes, size_t size)
{
	int fd = token_fd(tok);

	pending[fd].bytes = malloc(size);
	if (!pending[fd].bytes)
		err(1, "malloc");
	memcpy(pending[fd].bytes, bytes, size);
	pending[fd].from = 0;
	pending[fd].to = size;
	interest(EPOLL_CTL_MOD, token(fd, token_ns(tok), BLOCKED), EPOLLOUT);
	counters.blocked++;
}

// write_pending goes on where block left off, and back to reading at the end.
static void write_pending(uint64_t tok)
{
	int fd = token_fd(tok);
	struct pending *left = &pending[fd];
	ssize_t n = send(fd, left->bytes + left->from, left->to - left->from, MSG_NOSIGNAL);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			close_connection(tok);
		return;
	}
	left->from += (size_t)n;
	if (left->from < left->to)
		return;
	free(left->bytes);
	left->bytes = NULL;
	interest(EPOLL_CTL_MOD, token(fd, token_ns(tok), CONNECTION), EPOLLIN);
}

// echo returns what has arrived.
static inline void echo(uint64_t token)
{
	int fd = token_fd(token);
	ssize_t sent, n = recv(fd, buffer, buffer_size, 0);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			close_connection(token);
		return;
	}
	sent = send(fd, buffer, (size_t)n, MSG_NOSIGNAL);
	if (sent == n)
		return;
	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		close_connection(token);
	else
		block(token, buffer + (sent > 0 ? sent : 0), (size_t)(n - (sent > 0 ? sent : 0)));
}

// accept_all takes every connection that waits on a listener: accept4(2).
static void accept_all(uint64_t listener)
{
	for (;;) {
		int fd = accept4(token_fd(listener), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			interest(EPOLL_CTL_ADD, token(fd, token_ns(listener), CONNECTION), EPOLLIN);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno != EINTR && errno != ECONNABORTED)
			err(1, "accept4");
	}
}

static inline void serve(uint64_t token)
{
	switch (token_kind(token)) {
	case CONNECTION:
		echo(token);
		break;
	case BLOCKED:
		write_pending(token);
		break;
	case LISTENER:
		accept_all(token);
		break;
	case TERMINATE:
		terminating = true;
	}
}

// serve_bucket enters a namespace and serves its share of the batch, if it has any.
static inline void serve_bucket(int ns)
{
	int at = bucket_first[ns];

	if (!at)
		return;
	bucket_first[ns] = 0;
	enter(ns);
	for (; at; at = bucket_next[at - 1])
		serve(events[at - 1].data.u64);
}

// serve_grouped serves a batch namespace by namespace: two passes, no comparisons.
static void serve_grouped(int n)
{
	int distinct = 0, start = here;

	for (int i = 0; i < n; i++) {
		int ns = token_ns(events[i].data.u64);

		if (bucket_first[ns]) {
			bucket_next[bucket_last[ns] - 1] = i + 1;
		} else {
			bucket_order[distinct++] = ns;
			bucket_first[ns] = i + 1;
		}
		bucket_last[ns] = i + 1;
		bucket_next[i] = 0;
	}
	serve_bucket(start);
	for (int i = 0; i < distinct; i++)
		serve_bucket(bucket_order[i]);
}

// serve_batch serves n events as the mode says.
static void serve_batch(int n)
{
	switch (mode) {
	case NEVER:
		for (int i = 0; i < n; i++)
			serve(events[i].data.u64);
		break;
	case GROUP:
		serve_grouped(n);
		break;
	case CHANGE:
		for (int i = 0; i < n; i++) {
			enter(token_ns(events[i].data.u64));
			serve(events[i].data.u64);
		}
		break;
	case ALWAYS:
		for (int i = 0; i < n; i++) {
			enter(token_ns(events[i].data.u64));
			serve(events[i].data.u64);
			enter(spaces.count);
		}
	}
}

static void run(void)
{
	while (!terminating) {
		int n = epoll_wait(poller, events, max_events, -1);

		if (n < 0 && errno != EINTR)
			err(1, "epoll_wait");
		if (n <= 0)
			continue;
		counters.waits++;
		counters.events += (uint64_t)n;
		serve_batch(n);
	}
}

// listen_here opens the listener of the namespace that the thread is in. Accepted
// sockets inherit TCP_NODELAY from it.
static void listen_here(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		err(1, "setsockopt");
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "bind %d", port);
	if (listen(fd, 4096) < 0)
		err(1, "listen");
	interest(EPOLL_CTL_ADD, token(fd, here, LISTENER), EPOLLIN);
}

// watch_sigterm makes SIGTERM an event of the loop: signalfd(2).
static void watch_sigterm(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		err(1, "signalfd");
	interest(EPOLL_CTL_ADD, token(fd, 0, TERMINATE), EPOLLIN);
}

static void start(void)
{
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (poller < 0)
		err(1, "epoll_create1");
	events = must_alloc((size_t)max_events, sizeof(*events));
	buffer = must_alloc(1, buffer_size);
	pending = must_alloc(raise_nofile(), sizeof(*pending));
	bucket_next = must_alloc((size_t)max_events, sizeof(int));
	bucket_order = must_alloc((size_t)max_events, sizeof(int));
	bucket_first = must_alloc((size_t)spaces.count + 1, sizeof(int));
	bucket_last = must_alloc((size_t)spaces.count + 1, sizeof(int));
	watch_sigterm();
	here = spaces.count;
	for (int i = 0; i < spaces.count; i++) {
		enter(i);
		listen_here();
	}
	enter(spaces.count);
	counters.switches = 0;
}

static enum mode parse_mode(const char *text)
{
	static const char *const names[] = {"never", "group", "change", "always"};

	for (int i = 0; i < 4; i++)
		if (!strcmp(text, names[i]))
			return (enum mode)i;
	errx(2, "-m: want never, group, change or always, got %s", text);
}

static void parse_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "m:p:b:e:")) != -1) {
		switch (option) {
		case 'm':
			mode = parse_mode(optarg);
			break;
		case 'p':
			port = (int)parse_number(option, optarg, 65535);
			break;
		case 'b':
			buffer_size = (size_t)parse_number(option, optarg, 1 << 30);
			break;
		case 'e':
			max_events = (int)parse_number(option, optarg, 1 << 20);
			break;
		default:
			exit(2);
		}
	}
	if (!port || !buffer_size || !max_events)
		errx(2, "usage: echo -m never|group|change|always -p PORT [-b BUFSIZE] [-e EVENTS] NETNS_PATH|@FILE...");
	spaces = ns_open(argv + optind);
	if (spaces.count > MAX_NAMESPACES)
		errx(2, "more than %d namespaces", MAX_NAMESPACES);
}

int main(int argc, char **argv)
{
	raise_nofile();
	parse_options(argc, argv);
	start();
	fprintf(stderr, "ready\n");
	run();
	printf("{\"events\":%lu,\"epoll_waits\":%lu,\"switches\":%lu,\"blocked_writes\":%lu}\n", counters.events,
	       counters.waits, counters.switches, counters.blocked);
	return 0;
}
