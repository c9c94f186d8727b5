// load: a load generator over many network namespaces, one thread.
//
//   load -p PORT [-a ADDR] -c CONNS_PER_NS [-s SIZE] [-d DEPTH] [-k KIND] [-y] NETNS_PATH|@FILE...
//
// It connects from inside each namespace, prints "connected N", and then does what lines
// on its stdin say; between commands nothing is outstanding. End of file or SIGTERM end it.
//
//   run SECONDS WARMUP RATE  load the server, and print a line of JSON. RATE 0 is a closed
//                            loop: DEPTH messages are outstanding on every connection.
//                            Otherwise RATE messages a second over all connections are
//                            due on a schedule that does not wait for replies, and
//                            latency counts from when a message was due: a stall of the
//                            server is felt by all that should have come meanwhile.
//   watch PID...             count their CPU time in the windows to come
//   once                     one message on each connection, then "done"
//
// "start" and "stop" on stdout mark the measured window while the load goes on, so that a
// watcher can sample the server at both.
//
// Kinds are echo, table (an echo whose bytes 8..15 are a key in the request and anything
// in the reply), http (GET /SIZE is answered by SIZE bytes) and connect (each message has
// a connection of its own, DEPTH does not apply). The first 8 bytes of a message are its
// sequence number and its connection, and have to come back so: an answer on the wrong
// connection, a lost one or one out of order ends the load.
// With -y it polls without sleeping in a closed loop. A server that is a little slower
// than its load would else have to wake it, which costs the server more than being slow
// does. For a load that has a CPU to itself.
#define _GNU_SOURCE
#include "conn.h"
#include "dial.h"
#include "watch.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>

#define COOLDOWN (SECOND / 50) // how long the load outlives "stop"
#define PATIENCE 30            // seconds for replies that are still out
#define CONNECTING 120         // seconds for that
#define MAX_EVENTS 1024
#define DUE_BUDGET 4           // messages started before other work is looked at
#define MOST_TOTAL (1 << 18)   // messages and
#define MOST_BYTES (64 << 20)  // bytes outstanding in an overloaded open loop

// send_due starts messages of the schedule that are due.
static void send_due(void)
{
	for (int i = 0; i < DUE_BUDGET && due(schedule.next) <= now; i++) {
		struct conn *conn = &conns[schedule.next++ % (uint64_t)conn_count];

		begin(conn);
		pump(conn);
	}
}

static bool spins;    // -y
static uint64_t idle; // nanoseconds of this window in polls that brought nothing

// poll_events asks for edges without waiting, and counts the time if there are none.
static int poll_events(struct epoll_event *events)
{
	uint64_t before = now;
	int n = epoll_wait(poller, events, MAX_EVENTS, 0);

	if (n < 0 && errno != EINTR)
		err(1, "epoll_wait");
	now = nanoseconds(CLOCK_MONOTONIC);
	if (n <= 0)
		idle += now - before;
	return n;
}

// wait_events waits for edges, but no longer than to a point in time: epoll_pwait2(2).
// Between messages of an open loop it sleeps; main has seen to it that it wakes in time.
static int wait_events(struct epoll_event *events, uint64_t until)
{
	uint64_t left = until > now ? until - now : 0;
	struct timespec timeout = {.tv_sec = (time_t)(left / SECOND), .tv_nsec = (long)(left % SECOND)};
	int n = epoll_pwait2(poller, events, MAX_EVENTS, &timeout, NULL);

	if (n < 0 && errno != EINTR)
		err(1, "epoll_pwait2");
	now = nanoseconds(CLOCK_MONOTONIC);
	return n;
}

// turn serves what is ready by a point in time at the latest.
static void turn(uint64_t until)
{
	struct epoll_event events[MAX_EVENTS];
	int n;

	if (schedule.sending && due(schedule.next) < until)
		until = due(schedule.next);
	n = spins && keep ? poll_events(events) : wait_events(events, until);
	for (int i = 0; i < n; i++) {
		if (schedule.sending)
			send_due();
		ready(events[i].data.ptr);
	}
	if (schedule.sending)
		send_due();
	redial();
}

static void drive(uint64_t until)
{
	while (now < until)
		turn(until);
}

// drop_owed forgets what is due but was not sent, and returns how many that is.
static uint64_t drop_owed(void)
{
	uint64_t owed = 0;

	for (; due(schedule.next) < now; schedule.next++)
		owed++;
	for (long i = 0; i < conn_count; i++)
		owed += disown(&conns[i]);
	return owed;
}

// settle stops sending and waits until all replies are in. It returns how many messages
// of an overloaded schedule were not sent.
static uint64_t settle(void)
{
	uint64_t dropped = 0, until = now + PATIENCE * SECOND;

	keep = 0;
	schedule.sending = false;
	if (schedule.open)
		dropped = drop_owed();
	while (waiting && now < until)
		turn(until);
	if (waiting)
		errx(1, "%lu replies are missing after %d s", waiting, PATIENCE);
	return dropped;
}

static void print_marker(const char *text)
{
	puts(text);
	fflush(stdout);
}

// answered is how many messages have come back since the connections are there, measured
// or not: what a server that counts its requests should have counted.
static uint64_t answered(void)
{
	uint64_t sum = 0;

	for (long i = 0; i < conn_count; i++)
		sum += conns[i].received;
	return sum;
}

// report prints the figures of the measured window.
static void report(double window, double cpu, double server_cpu, uint64_t dropped)
{
	const char *separator = "";

	printf("{\"messages\":%lu,\"seconds\":%.6f,\"rate\":%.1f,", latency.total, window, (double)latency.total / window);
	printf("\"connections\":%ld,\"cpu_seconds\":%.6f,\"cpu_share\":%.4f,", conn_count, cpu, cpu / window);
	printf("\"watched_cpu_seconds\":%.9f,", server_cpu);
	printf("\"dropped\":%lu,\"answered\":%lu,\"latency\":[", dropped, answered());
	for (uint32_t i = 0; i < HIST_SIZE; i++) {
		if (!latency.bucket[i])
			continue;
		printf("%s[%lu,%lu]", separator, hist_upper(i), latency.bucket[i]);
		separator = ",";
	}
	print_marker("]}");
}

// start_closed starts the first messages of a closed loop.
static void start_closed(void)
{
	schedule.open = false;
	keep = (uint32_t)depth;
	for (long i = 0; i < conn_count; i++) {
		if (kind == CONNECT)
			redial_later(&conns[i]);
		else
			refill(&conns[i]);
	}
	redial();
}

// start_open begins a schedule. What may be outstanding is bounded, not only by what
// sockets take: a flood would still be coming back long after the run, and measures
// nothing more, since latency counts from when a message was due.
static void start_open(double rate)
{
	uint64_t most = MOST_TOTAL / (uint64_t)conn_count, bytes = MOST_BYTES / (uint64_t)(conn_count * size);

	if (bytes < most)
		most = bytes;
	schedule.open = schedule.sending = true;
	schedule.begin = now;
	schedule.next = 0;
	schedule.period = (double)SECOND / rate;
	schedule.most = most < 16 ? 16 : (uint32_t)most;
	for (long i = 0; i < conn_count; i++)
		conns[i].base = conns[i].started;
}

// run loads the server: warm-up, window, cool-down.
static void run(double seconds, double warmup, double rate)
{
	uint64_t begin, cpu, server, end, cpu_end, server_end;

	alarm((unsigned)(seconds + warmup) + 2 * PATIENCE);
	memset(&latency, 0, sizeof(latency));
	now = nanoseconds(CLOCK_MONOTONIC);
	if (rate > 0)
		start_open(rate);
	else
		start_closed();
	drive(now + (uint64_t)(warmup * SECOND));
	print_marker("start");
	cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
	idle = 0;
	server = watched_cpu();
	begin = now = nanoseconds(CLOCK_MONOTONIC);
	measuring = true;
	drive(begin + (uint64_t)(seconds * SECOND));
	measuring = false;
	end = now;
	server_end = watched_cpu();
	cpu_end = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
	// A poll that lost its CPU took longer than it computed.
	cpu_end = cpu_end - cpu > idle ? cpu_end - idle : cpu;
	print_marker("stop");
	drive(now + COOLDOWN);
	report((double)(end - begin) / SECOND, (double)(cpu_end - cpu) / SECOND, (double)(server_end - server) / SECOND,
	       settle());
	alarm(0);
}

// once sends one message on each connection.
static void once(void)
{
	long usual = depth;

	alarm(2 * PATIENCE);
	now = nanoseconds(CLOCK_MONOTONIC);
	depth = 1;
	start_closed();
	depth = usual;
	settle();
	print_marker("done");
	alarm(0);
}

// obey does what a line says.
static void obey(char *line)
{
	double seconds, warmup, rate;
	int end = 0;

	if (!strcmp(line, "once\n")) {
		once();
		return;
	}
	if (!strncmp(line, "watch ", 6)) {
		watch(line + 6);
		return;
	}
	if (sscanf(line, "run %lf %lf %lf%n", &seconds, &warmup, &rate, &end) != 3 || strcmp(line + end, "\n"))
		errx(2, "want \"run SECONDS WARMUP RATE\", \"watch PID...\" or \"once\", got: %s", line);
	if (!(seconds > 0 && warmup >= 0 && seconds + warmup <= 3600 && rate >= 0 && rate <= 1e8))
		errx(2, "out of range: %s", line);
	if (kind == CONNECT && rate > 0)
		errx(2, "connections have no rate: %s", line);
	run(seconds, warmup, rate);
}

static enum kind parse_kind(const char *text)
{
	static const char *const names[] = {"echo", "table", "http", "connect"};

	for (int i = 0; i < 4; i++)
		if (!strcmp(text, names[i]))
			return (enum kind)i;
	errx(2, "-k: want echo, table, http or connect, got %s", text);
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
	case 'k':
		kind = parse_kind(optarg);
		break;
	case 'y':
		spins = true;
		break;
	default:
		exit(2);
	}
}

static void parse_options(int argc, char **argv)
{
	int option;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	while ((option = getopt(argc, argv, "p:a:c:s:d:k:y")) != -1)
		parse_option(option);
	if (!address.sin_port || !per_ns || !depth || !size)
		errx(2, "usage: load -p PORT [-a ADDR] -c CONNS_PER_NS [-s SIZE] [-d DEPTH] "
			"[-k echo|table|http|connect] [-y] NETNS_PATH|@FILE...");
	if (kind == TABLE && size < HEADER + KEY)
		errx(2, "-s: a table's messages have at least %d bytes", HEADER + KEY);
	if (kind == CONNECT)
		depth = 1;
	spaces = ns_open(argv + optind);
}

static void terminated(int signal)
{
	(void)signal;
	_exit(0);
}

static void out_of_time(int signal)
{
	static const char text[] = "load: out of time\n";

	(void)signal;
	_exit(write(STDERR_FILENO, text, sizeof(text) - 1) < 0 ? 3 : 1);
}

// mortal makes sure that the load does not outlive its purpose, and that timers are
// not late on purpose: prctl(2).
static void mortal(void)
{
	signal(SIGTERM, terminated);
	signal(SIGALRM, out_of_time);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_TIMERSLACK, 1) < 0)
		err(1, "prctl");
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t room = 0;

	mortal();
	raise_nofile();
	parse_options(argc, argv);
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (poller < 0)
		err(1, "epoll_create1");
	make_requests();
	alarm(CONNECTING);
	open_conns();
	alarm(0);
	printf("connected %ld\n", kind == CONNECT ? 0 : conn_count);
	fflush(stdout);
	while (getline(&line, &room, stdin) > 0)
		obey(line);
	return 0;
}
