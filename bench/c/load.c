// load: a closed-loop load generator over many network namespaces, one thread.
//
//   load -p PORT [-a ADDR] -c CONNS_PER_NS -s SIZE [-d DEPTH] -t SECONDS [-w WARMUP_SECONDS] NETNS_PATH|@FILE...
//
// It connects from inside each namespace and keeps DEPTH messages outstanding on
// every connection. The first 8 bytes of a message are its sequence number and its
// connection, and have to come back so: an answer on the wrong connection, a lost one
// or one out of order ends the run. "start" and "stop" on stdout mark the measured
// window while the load goes on, so that a watcher can sample the server at both;
// figures follow as a line of JSON.
#define _GNU_SOURCE
#include "hist.h"
#include "netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define COOLDOWN (SECOND / 4)  // how long the load outlives "stop"
#define PATIENCE 60            // seconds that connecting may add to a run
#define MAX_EVENTS 1024
#define HEADER 8

// A connection's messages are counted, never named: sequence numbers below received
// have come back, those below sent are with the kernel and those below started have a
// start time in times[sequence % depth].
struct conn {
	int fd;
	uint32_t id;
	uint32_t received, sent, started;
	size_t in_offset, out_offset; // into the messages received and sent
	uint64_t *times;
};

static struct namespaces spaces;
static struct sockaddr_in address = {.sin_family = AF_INET};
static long per_ns = 1, depth = 1, size = 64;
static double seconds = 3, warmup = 1;
static struct conn *conns;
static long conn_count;
static int poller;
static uint64_t now; // nanoseconds, as of the last event
static char *in, *out;
static size_t in_size = 256 << 10, out_messages;

static bool measuring;
static struct hist latency;

// nanoseconds reads a clock: clock_gettime(2).
static uint64_t nanoseconds(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

// header writes the first bytes of a connection's message.
static inline void header(char *to, const struct conn *conn, uint32_t sequence)
{
	memcpy(to, &sequence, 4);
	memcpy(to + 4, &conn->id, 4);
}

// check ends the run unless bytes are what the message's header says from offset on.
static inline void check(const struct conn *conn, const char *bytes, size_t count)
{
	char want[HEADER];

	header(want, conn, conn->received);
	if (count > HEADER - conn->in_offset)
		count = HEADER - conn->in_offset;
	if (memcmp(bytes, want + conn->in_offset, count))
		errx(1, "connection %u: message %u came back wrong", conn->id, conn->received);
}

// complete counts a message that came back in full.
static inline void complete(struct conn *conn)
{
	if (measuring)
		hist_add(&latency, now - conn->times[conn->received % depth]);
	conn->in_offset = 0;
	conn->received++;
}

// consume walks over received bytes, message by message.
static void consume(struct conn *conn, const char *bytes, size_t count)
{
	while (count > 0) {
		size_t take = (size_t)size - conn->in_offset;

		if (conn->received == conn->started)
			errx(1, "connection %u: more came back than was sent", conn->id);
		if (take > count)
			take = count;
		if (conn->in_offset < HEADER)
			check(conn, bytes, take);
		conn->in_offset += take;
		if (conn->in_offset == (size_t)size)
			complete(conn);
		bytes += take;
		count -= take;
	}
}

// send_some hands the kernel what of the started messages fits into one send(2), and
// reports whether it took it all.
static bool send_some(struct conn *conn)
{
	uint32_t count = conn->started - conn->sent;
	size_t want, total;
	ssize_t n;

	if (count > out_messages)
		count = (uint32_t)out_messages;
	for (uint32_t i = 0; i < count; i++)
		header(out + i * (size_t)size, conn, conn->sent + i);
	want = count * (size_t)size - conn->out_offset;
	n = send(conn->fd, out + conn->out_offset, want, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		err(1, "connection %u: send", conn->id);
	if (n < 0)
		return false;
	total = conn->out_offset + (size_t)n;
	conn->sent += (uint32_t)(total / (size_t)size);
	conn->out_offset = total % (size_t)size;
	return (size_t)n == want;
}

// refill starts messages until depth are outstanding, and sends while it can.
static void refill(struct conn *conn)
{
	while (conn->started - conn->received < (uint32_t)depth)
		conn->times[conn->started++ % depth] = now;
	while (conn->sent != conn->started)
		if (!send_some(conn))
			return;
}

// ready serves an edge: reads until the socket is empty, then sends.
static void ready(struct conn *conn)
{
	ssize_t n;

	do {
		n = recv(conn->fd, in, in_size, 0);
		if (n == 0)
			errx(1, "connection %u: closed by the server", conn->id);
		if (n < 0 && errno != EAGAIN)
			err(1, "connection %u: recv", conn->id);
		now = nanoseconds(CLOCK_MONOTONIC);
		if (n > 0)
			consume(conn, in, (size_t)n);
	} while (n == (ssize_t)in_size);
	refill(conn);
}

// drive keeps the load going until a point in time.
static void drive(uint64_t until)
{
	struct epoll_event events[MAX_EVENTS];

	while (now < until) {
		int timeout = (int)((until - now) / 1000000) + 1;
		int n = epoll_wait(poller, events, MAX_EVENTS, timeout);

		if (n < 0 && errno != EINTR)
			err(1, "epoll_wait");
		for (int i = 0; i < n; i++)
			ready(events[i].data.ptr);
		now = nanoseconds(CLOCK_MONOTONIC);
	}
}

// dial connects one socket from the namespace that the thread is in. It closes with a
// reset, so that no port lingers.
static int dial(void)
{
	struct timeval patience = {.tv_sec = 10};
	struct linger reset = {.l_onoff = 1};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		err(1, "setsockopt");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "connect");
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		err(1, "fcntl");
	return fd;
}

// open_conn fills a connection's slot and registers it for edges both ways.
static void open_conn(uint32_t id)
{
	struct conn *conn = &conns[id];
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = conn};

	conn->id = id;
	conn->times = must_alloc((size_t)depth, sizeof(*conn->times));
	conn->fd = dial();
	if (epoll_ctl(poller, EPOLL_CTL_ADD, conn->fd, &event) < 0)
		err(1, "epoll_ctl");
}

// open_conns connects round by round, so that neighbours are in different namespaces.
static void open_conns(void)
{
	int last = spaces.count;

	conn_count = per_ns * spaces.count;
	conns = must_alloc((size_t)conn_count, sizeof(*conns));
	for (long i = 0; i < conn_count; i++) {
		int ns = (int)(i % spaces.count);

		if (ns != last)
			ns_enter(&spaces, ns);
		last = ns;
		open_conn((uint32_t)i);
	}
	ns_enter(&spaces, spaces.count);
}

static void print_marker(const char *text)
{
	puts(text);
	fflush(stdout);
}

// report prints the figures of the measured window.
static void report(double window, double cpu)
{
	double share = cpu / window;

	printf("{\"messages\":%lu,\"seconds\":%.6f,\"rate\":%.1f,", latency.total, window, (double)latency.total / window);
	printf("\"p50_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,", (double)hist_quantile(&latency, 0.5) / 1e3,
	       (double)hist_quantile(&latency, 0.99) / 1e3, (double)hist_quantile(&latency, 0.999) / 1e3);
	printf("\"connections\":%ld,\"cpu_seconds\":%.6f,\"cpu_share\":%.4f}\n", conn_count, cpu, share);
	if (share > 0.9)
		fprintf(stderr, "load: used %.0f %% of its CPU: it may be what limits the rate\n", share * 100);
}

// measure runs the load: warm-up, window, cool-down.
static void measure(void)
{
	uint64_t begin, cpu, end, cpu_end;

	now = nanoseconds(CLOCK_MONOTONIC);
	for (long i = 0; i < conn_count; i++)
		refill(&conns[i]);
	drive(now + (uint64_t)(warmup * SECOND));
	print_marker("start");
	cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
	begin = now = nanoseconds(CLOCK_MONOTONIC);
	measuring = true;
	drive(begin + (uint64_t)(seconds * SECOND));
	measuring = false;
	end = now;
	cpu_end = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
	print_marker("stop");
	drive(now + COOLDOWN);
	report((double)(end - begin) / SECOND, (double)(cpu_end - cpu) / SECOND);
}

static void parse_option(int option)
{
	switch (option) {
	case 'p':
		address.sin_port = htons((uint16_t)parse_number(option, optarg, 65535));
		break;
	case 'a':
		if (inet_pton(AF_INET, optarg, &address.sin_addr) != 1)
			errx(2, "-a: want an IPv4 address, got %s", optarg);
		break;
	case 'c':
		per_ns = parse_number(option, optarg, 1 << 20);
		break;
	case 's':
		size = parse_number(option, optarg, 1 << 26);
		break;
	case 'd':
		depth = parse_number(option, optarg, 1 << 16);
		break;
	case 't':
		seconds = strtod(optarg, NULL);
		break;
	case 'w':
		warmup = strtod(optarg, NULL);
		break;
	default:
		exit(2);
	}
}

static void parse_options(int argc, char **argv)
{
	int option;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	while ((option = getopt(argc, argv, "p:a:c:s:d:t:w:")) != -1)
		parse_option(option);
	if (!address.sin_port || !per_ns || !depth || size < HEADER || seconds <= 0 || warmup < 0 ||
	    seconds + warmup > 3600)
		errx(2, "usage: load -p PORT [-a ADDR] -c CONNS_PER_NS -s SIZE (at least 8) [-d DEPTH] -t SECONDS "
			"[-w WARMUP_SECONDS] NETNS_PATH|@FILE...");
	spaces = ns_open(argv + optind);
}

int main(int argc, char **argv)
{
	raise_nofile();
	parse_options(argc, argv);
	alarm((unsigned)(seconds + warmup) + PATIENCE); // whatever happens, SIGALRM ends it
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (poller < 0)
		err(1, "epoll_create1");
	out_messages = (size_t)size > in_size ? 1 : in_size / (size_t)size;
	in = must_alloc(1, in_size);
	out = must_alloc(out_messages, (size_t)size);
	open_conns();
	measure();
	return 0;
}
