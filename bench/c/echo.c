// echo: an epoll echo server over many network namespaces, in C.
//
// It is the floor that other servers are measured against, so it does as little as
// an honest server can: one recv(2) and one send(2) a message, level-triggered, and
// no memory of a connection's own is touched unless its peer stops reading.
//
//   echo -m never|group|change|always -p PORT [-b BUFSIZE] [-e EVENTS] [-t THREADS] [-w MICROSECONDS]
//        [-k echo|http] [-s SIZE] [-x] NETNS_PATH|@FILE...
//
// The modes differ in when the thread changes its namespace:
//   never   not after start-up
//   group   once for each distinct namespace of a batch, the current one first
//   change  whenever the next event, in the kernel's order, is in another one
//   always  into the namespace and back home, for every event
//
// With -t, thread i runs on CPU i with a poller and listeners of its own, and the kernel
// spreads connections over the listeners of a port (SO_REUSEPORT). With -w it computes
// that long for each message before it replies: rounds of a loop, calibrated at start-up
// against the thread's CPU clock, so that no system call is added. A message has SIZE
// bytes; without -s whatever one recv(2) brings is one. -k http answers each request's
// head with a body of SIZE bytes.
//
// With -x the sockets and the process are as an engine's are that has users: listeners
// for IPv6 and IPv4, keepalive, a limit on unacknowledged bytes, and a second thread,
// asleep, for whose sake every system call counts its reference to the descriptor. What
// that costs the kernel is no loop's doing.
//
// It prints "ready" on stderr and, at SIGTERM, its counters as a line of JSON.
#define _GNU_SOURCE
#include "netns.h"
#include "work.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_NAMESPACES 65535
#define MAX_THREADS 256

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
static bool http, dressed;
static struct namespaces spaces;
static int port, max_events = 1024;
static size_t buffer_size = 64 << 10, message_size;
static long threads = 1;
static uint64_t message_work; // rounds
static char *responses; // to HTTP requests, side by side
static size_t response_size, responses_size;
static pthread_barrier_t listening;

// The rest is each thread's own.
static __thread int here; // the namespace that the thread is in
static __thread int poller;
static __thread struct epoll_event *events;
static __thread char *buffer;
static __thread struct pending *pending;  // by descriptor
static __thread unsigned char *head_seen; // by descriptor: bytes of the end of a request's head
static __thread bool terminating;

// Buckets of the batch being grouped. Positions are event index + 1; 0 is none.
static __thread int *bucket_first, *bucket_last; // by namespace
static __thread int *bucket_next;                // by event
static __thread int *bucket_order;               // namespaces, as the batch brought them up

struct counters {
	uint64_t events, waits, switches, blocked;
};

static __thread struct counters counters;

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
	head_seen[fd] = 0;
	close(fd);
}

// block makes room for what the peer did not take, and stops reading until it has.
static char *block(uint64_t tok, size_t size)
{
	int fd = token_fd(tok);

	pending[fd].bytes = malloc(size);
	if (!pending[fd].bytes)
		err(1, "malloc");
	pending[fd].from = 0;
	pending[fd].to = size;
	interest(EPOLL_CTL_MOD, token(fd, token_ns(tok), BLOCKED), EPOLLOUT);
	counters.blocked++;
	return pending[fd].bytes;
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

// send_some is send(2): how much the peer took, or -1 after the connection's end.
static inline ssize_t send_some(uint64_t token, const char *bytes, size_t size)
{
	ssize_t n = send(token_fd(token), bytes, size, MSG_NOSIGNAL);

	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	close_connection(token);
	return -1;
}

// echo returns what has arrived.
static inline void echo(uint64_t token, size_t size)
{
	ssize_t n;

	if (message_work)
		work(message_size ? message_work * size / message_size : message_work);
	n = send_some(token, buffer, size);
	if (n < 0 || (size_t)n == size)
		return;
	memcpy(block(token, size - (size_t)n), buffer + n, size - (size_t)n);
}

// count_heads is how many request heads end in what has arrived.
static size_t count_heads(int fd, size_t size)
{
	static const char end[] = "\r\n\r\n";
	unsigned char seen = head_seen[fd];
	size_t count = 0;

	for (const char *at = buffer; at < buffer + size; at++) {
		if (!seen && !(at = memchr(at, '\r', (size_t)(buffer + size - at))))
			break;
		if (*at == end[seen])
			seen++;
		else
			seen = *at == '\r';
		if (seen == 4) {
			seen = 0;
			count++;
		}
	}
	head_seen[fd] = seen;
	return count;
}

// answer replies to each HTTP request that has arrived in full.
static void answer(uint64_t token, size_t size)
{
	size_t count = count_heads(token_fd(token), size), left = count * response_size;
	char *rest;

	work(message_work * count);
	while (left) {
		size_t want = left < responses_size ? left : responses_size;
		ssize_t n = send_some(token, responses, want);

		if (n < 0)
			return;
		left -= (size_t)n;
		if ((size_t)n < want)
			break;
	}
	if (!left)
		return;
	rest = block(token, left); // its first byte is where a response was cut
	for (size_t part, from = responses_size - (left - 1) % response_size - 1; left; left -= part, from = 0) {
		part = left < responses_size - from ? left : responses_size - from;
		rest = mempcpy(rest, responses + from, part);
	}
}

// serve_readable reads a message and replies.
static inline void serve_readable(uint64_t token)
{
	ssize_t n = recv(token_fd(token), buffer, buffer_size, 0);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			close_connection(token);
		return;
	}
	if (http)
		answer(token, (size_t)n);
	else
		echo(token, (size_t)n);
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
		serve_readable(token);
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

// run serves until SIGTERM. It asks for events without blocking first: under load some
// have come meanwhile, and a thread that does not sleep needs no waking up.
static void run(void)
{
	while (!terminating) {
		int n = epoll_wait(poller, events, max_events, 0);

		if (n == 0)
			n = epoll_wait(poller, events, max_events, -1);
		if (n < 0 && errno != EINTR)
			err(1, "epoll_wait");
		if (n <= 0)
			continue;
		counters.waits++;
		counters.events += (uint64_t)n;
		serve_batch(n);
	}
}

// dress gives a listener the options that connections of the engine inherit from it.
static void dress(int fd)
{
	int on = 1, off = 0, keepalive = 15, limit = 30000;

	if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive, sizeof(keepalive)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof(limit)) < 0)
		err(1, "setsockopt");
}

// sleep_on is the second thread of -x. Signals are the others'.
static void *sleep_on(void *unused)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (;;)
		pause();
	return unused;
}

// listen_here opens the listener of the namespace that the thread is in. Accepted
// sockets inherit TCP_NODELAY from it.
static void listen_here(void)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	struct sockaddr *address = dressed ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
	socklen_t size = dressed ? sizeof(v6) : sizeof(v4);
	int on = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		err(1, "setsockopt");
	if (threads > 1 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
		err(1, "setsockopt");
	if (dressed)
		dress(fd);
	if (bind(fd, address, size) < 0)
		err(1, "bind %d", port);
	if (listen(fd, 4096) < 0)
		err(1, "listen");
	interest(EPOLL_CTL_ADD, token(fd, here, LISTENER), EPOLLIN);
}

// watch_sigterm makes SIGTERM an event of the loop: signalfd(2). Nobody reads it, so
// every thread sees it.
static void watch_sigterm(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
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
	head_seen = must_alloc(raise_nofile(), 1);
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

// pin moves the calling thread to a CPU and gives it a table of descriptors of its own,
// which spares it atomic operations in every system call: unshare(2).
static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		err(1, "sched_setaffinity: CPU %d", cpu);
	if (unshare(CLONE_FILES) < 0)
		err(1, "unshare");
}

// serve_thread is one thread's life. It returns the counters.
static void *serve_thread(void *index)
{
	struct counters *result = must_alloc(1, sizeof(*result));

	if (threads > 1)
		pin((int)(intptr_t)index);
	start();
	if (pthread_barrier_wait(&listening) == PTHREAD_BARRIER_SERIAL_THREAD)
		fprintf(stderr, "ready\n");
	run();
	*result = counters;
	return result;
}

// serve_all runs the threads, of which this one is the first, and adds up their counters.
static struct counters serve_all(void)
{
	pthread_t thread[MAX_THREADS];
	struct counters *one, total = {0};

	pthread_barrier_init(&listening, NULL, (unsigned)threads);
	if (dressed && (errno = pthread_create(&thread[0], NULL, sleep_on, NULL)))
		err(1, "pthread_create");
	for (long i = 1; i < threads; i++)
		if ((errno = pthread_create(&thread[i], NULL, serve_thread, (void *)(intptr_t)i)))
			err(1, "pthread_create");
	for (long i = 0; i < threads; i++) {
		if (i == 0)
			one = serve_thread(NULL);
		else
			pthread_join(thread[i], (void **)&one);
		total.events += one->events;
		total.waits += one->waits;
		total.switches += one->switches;
		total.blocked += one->blocked;
	}
	return total;
}

// make_responses prepares as many responses as one send(2) may take.
static void make_responses(void)
{
	char head[64];
	size_t head_size = (size_t)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", message_size);
	size_t count;

	response_size = head_size + message_size;
	count = response_size > buffer_size ? 1 : buffer_size / response_size;
	responses_size = count * response_size;
	responses = must_alloc(count, response_size);
	memset(responses, 'x', responses_size);
	for (size_t i = 0; i < count; i++)
		memcpy(responses + i * response_size, head, head_size);
}

static enum mode parse_mode(const char *text)
{
	static const char *const names[] = {"never", "group", "change", "always"};

	for (int i = 0; i < 4; i++)
		if (!strcmp(text, names[i]))
			return (enum mode)i;
	errx(2, "-m: want never, group, change or always, got %s", text);
}

static bool parse_kind(const char *text)
{
	if (strcmp(text, "echo") && strcmp(text, "http"))
		errx(2, "-k: want echo or http, got %s", text);
	return !strcmp(text, "http");
}

static void parse_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "m:p:b:e:t:w:k:s:x")) != -1) {
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
		case 't':
			threads = parse_number(option, optarg, MAX_THREADS);
			break;
		case 'x':
			dressed = true;
			break;
		case 'w':
			message_work = work_rounds(parse_number(option, optarg, 1000000));
			break;
		case 'k':
			http = parse_kind(optarg);
			break;
		case 's':
			message_size = (size_t)parse_number(option, optarg, 1 << 26);
			break;
		default:
			exit(2);
		}
	}
	if (!port || !buffer_size || !max_events || !threads)
		errx(2, "usage: echo -m never|group|change|always -p PORT [-b BUFSIZE] [-e EVENTS] [-t THREADS] "
			"[-w MICROSECONDS] [-k echo|http] [-s SIZE] [-x] NETNS_PATH|@FILE...");
	spaces = ns_open(argv + optind);
	if (spaces.count > MAX_NAMESPACES)
		errx(2, "more than %d namespaces", MAX_NAMESPACES);
}

int main(int argc, char **argv)
{
	struct counters total;

	raise_nofile();
	parse_options(argc, argv);
	make_responses();
	total = serve_all();
	printf("{\"events\":%lu,\"epoll_waits\":%lu,\"switches\":%lu,\"blocked_writes\":%lu}\n", total.events,
	       total.waits, total.switches, total.blocked);
	return 0;
}
