// A connection of the load: what it owes, sending it, and checking what comes back.
#ifndef BENCH_CONN_H
#define BENCH_CONN_H

#include "hist.h"
#include "netns.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define HEADER 8          // sequence number and connection
#define KEY 8             // what a table's request has after its header
#define LARGE (16 << 10)  // from here on a second recv(2) costs less than copying a reply
#define SENDFILE_MIN (64 << 10)  // where sendfile(2) measured
#define SENDFILE_MAX (128 << 10) // better than send(2); see send_large
#define HEAD_MAX 1024     // of an HTTP reply
#define BULK (256 << 10)  // bytes that one send(2) or recv(2) of small messages moves

static const char http_ok[] = "HTTP/1.1 200";

enum kind { ECHO, TABLE, HTTP, CONNECT };

// A connection's messages are counted, never named: sequence numbers below received
// have come back, those below sent are with the kernel, and those below started are
// due. They have no memory of their own but a start time, times[sequence & times_mask];
// in an open loop not even that, since the schedule knows when each was due.
struct conn {
	int fd;
	uint32_t id;
	uint32_t received, sent, started;
	uint32_t base;          // of this run's first message
	uint32_t head_size;     // of the reply's HTTP head; 0 until it is known
	uint32_t reply_size;    // with the head
	size_t in_offset, out_offset; // into the messages received and sent
	uint64_t *times;
	char *head;             // the first HTTP head, until it is complete
	struct conn *next;      // in the list of those to be connected again
};

static enum kind kind;
static struct sockaddr_in address = {.sin_family = AF_INET};
static long depth = 1, size = 64; // of what is echoed, or of an HTTP reply's body
static struct conn *conns;
static long conn_count;
static uint32_t times_mask;
static uint64_t now;      // nanoseconds, as of the last event
static uint64_t waiting;  // messages started whose replies are not in yet
static uint32_t keep;     // messages to keep outstanding on each connection of a closed loop
static bool measuring;
static struct hist latency;

// An open loop's schedule: message number n over all connections is due at
// begin + n * period, and belongs to connection n % conn_count. Neighbours are in
// different namespaces because connections are numbered that way.
static struct {
	bool open, sending;
	uint64_t begin, next;
	double period;
	uint32_t most; // outstanding on a connection; what is more stays owed
} schedule;

static char *in, *out;         // messages side by side; out has their constant bytes
static size_t out_messages;    // in out
static size_t request_size;
static size_t header_size;     // what differs from request to request
static size_t checked_size;    // what is checked of each reply
static bool large_in, large_out;
static int body;               // a file in memory with a large message's constant bytes

static void hang_up(struct conn *conn);

// nanoseconds reads a clock: clock_gettime(2).
static uint64_t nanoseconds(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static inline uint64_t due(uint64_t message)
{
	return schedule.begin + (uint64_t)((double)message * schedule.period);
}

// begun is when the message that came back last was started, or should have been.
static inline uint64_t begun(const struct conn *conn)
{
	if (schedule.open)
		return due((uint64_t)(conn->received - conn->base) * (uint64_t)conn_count + conn->id);
	return conn->times[conn->received & times_mask];
}

// header writes the first bytes of a connection's message.
static inline void header(char *to, const struct conn *conn, uint32_t sequence)
{
	uint32_t words[] = {sequence, conn->id, conn->id, 0};

	memcpy(to, words, header_size);
}

// check ends the run unless bytes are what a reply has from in_offset on.
static inline void check(const struct conn *conn, const char *bytes, size_t count)
{
	uint32_t words[] = {conn->received, conn->id};
	const char *want = kind == HTTP ? http_ok : (char *)words;

	if (count > checked_size - conn->in_offset)
		count = checked_size - conn->in_offset;
	if (memcmp(bytes, want + conn->in_offset, count))
		errx(1, "connection %u: message %u came back wrong", conn->id, conn->received);
}

// complete counts a message that came back in full.
static inline void complete(struct conn *conn)
{
	if (measuring)
		hist_add(&latency, now - begun(conn));
	conn->in_offset = 0;
	conn->received++;
	waiting--;
	if (kind == CONNECT)
		hang_up(conn);
}

// content_length is what an HTTP head says of its body, or -1.
static long content_length(const char *head)
{
	static const char name[] = "\r\nContent-Length:";

	for (; *head; head++)
		if (!strncasecmp(head, name, strlen(name)))
			return strtol(head + strlen(name), NULL, 10);
	return -1;
}

// learn gathers the first reply's head, until that says how long replies are. It
// returns how many of the bytes belong to it.
static size_t learn(struct conn *conn, const char *bytes, size_t count)
{
	char *end;
	size_t take = HEAD_MAX - conn->in_offset;

	if (!conn->head)
		conn->head = must_alloc(1, HEAD_MAX + 1);
	if (take > count)
		take = count;
	memcpy(conn->head + conn->in_offset, bytes, take);
	end = strstr(conn->head, "\r\n\r\n");
	if (!end) {
		if (conn->in_offset + take == HEAD_MAX)
			errx(1, "connection %u: a reply's head is longer than %d bytes", conn->id, HEAD_MAX);
		conn->in_offset += take;
		return take;
	}
	conn->head_size = (uint32_t)(end + 4 - conn->head);
	conn->reply_size = conn->head_size + (uint32_t)size;
	take = conn->head_size - conn->in_offset;
	end[2] = 0;
	if (strncmp(conn->head, http_ok, strlen(http_ok)) || content_length(conn->head) != size)
		errx(1, "connection %u: want %s with %ld bytes, got: %s", conn->id, http_ok, size, conn->head);
	conn->in_offset = conn->head_size;
	free(conn->head);
	conn->head = NULL;
	return take;
}

// take_part counts bytes that belong to the reply being received.
static inline void take_part(struct conn *conn, size_t count)
{
	conn->in_offset += count;
	if (conn->in_offset == conn->reply_size)
		complete(conn);
}

// consume walks over received bytes, message by message.
static void consume(struct conn *conn, const char *bytes, size_t count)
{
	while (count > 0) {
		size_t part = conn->reply_size - conn->in_offset;

		if (conn->received == conn->sent && !conn->out_offset)
			errx(1, "connection %u: more came back than was sent", conn->id);
		if (kind == HTTP && !conn->head_size) {
			part = learn(conn, bytes, count);
		} else {
			if (part > count)
				part = count;
			if (conn->in_offset < checked_size)
				check(conn, bytes, part);
			take_part(conn, part);
		}
		bytes += part;
		count -= part;
	}
}

// receive is recv(2): 0 says that the socket is empty.
static inline size_t receive(const struct conn *conn, void *to, size_t count, int flags)
{
	ssize_t n = recv(conn->fd, to, count, flags);

	if (n == 0)
		errx(1, "connection %u: closed by the server", conn->id);
	if (n < 0 && errno != EAGAIN)
		err(1, "connection %u: recv", conn->id);
	now = nanoseconds(CLOCK_MONOTONIC);
	return n > 0 ? (size_t)n : 0;
}

// read_small reads until the socket is empty.
static void read_small(struct conn *conn)
{
	size_t n;

	do {
		n = receive(conn, in, BULK, 0);
		consume(conn, in, n);
	} while (n == BULK);
}

// read_large does the same for large messages: it reads what is checked and throws the
// rest away where it is (MSG_TRUNC, tcp(7)). Of the load's CPU time a message, with 64
// connections to the C echo server, that saved 8.5 -> 7.4 us at 16 KiB and 20.5 -> 18.9
// at 64 KiB.
static void read_large(struct conn *conn)
{
	size_t n, want;

	do {
		if (kind == HTTP && !conn->head_size)
			want = HEAD_MAX;
		else if (conn->in_offset < checked_size)
			want = checked_size - conn->in_offset;
		else
			want = 0;
		if (want) {
			n = receive(conn, in, want, 0);
			consume(conn, in, n);
		} else {
			want = conn->reply_size - conn->in_offset;
			n = receive(conn, NULL, want, MSG_TRUNC);
			take_part(conn, n);
		}
	} while (n == want && conn->received != conn->started);
}

// count_sent notes that the kernel took bytes.
static inline void count_sent(struct conn *conn, size_t count)
{
	size_t total = conn->out_offset + count;

	if (total < request_size) {
		conn->out_offset = total;
		return;
	}
	conn->sent += (uint32_t)(total / request_size);
	conn->out_offset = total % request_size;
}

// send_result judges what a send returned: false if the socket is full.
static inline bool send_result(struct conn *conn, ssize_t n)
{
	if (n < 0 && errno != EAGAIN)
		err(1, "connection %u: send", conn->id);
	if (n <= 0)
		return false;
	count_sent(conn, (size_t)n);
	return true;
}

// send_small hands the kernel what of count messages fits into one send(2), and reports
// whether it took it all.
static inline bool send_small(struct conn *conn, uint32_t count)
{
	size_t want;
	ssize_t n;

	if (count > out_messages)
		count = (uint32_t)out_messages;
	if (header_size)
		for (uint32_t i = 0; i < count; i++)
			header(out + i * request_size, conn, conn->sent + i);
	want = count * request_size - conn->out_offset;
	n = send(conn->fd, out + conn->out_offset, want, MSG_NOSIGNAL);
	return send_result(conn, n) && (size_t)n == want;
}

// send_large sends a message's header, or some of what follows it: sendfile(2) lets the
// socket refer to the file's pages instead of copying them. That saved 18.9 -> 15.2 us at
// 64 KiB and 33 -> 29 at 128; below, two system calls cost more than copying, and at
// 256 KiB the server had more to do for the same bytes. vmsplice(2) was no better.
static bool send_large(struct conn *conn)
{
	char bytes[HEADER + KEY];
	off_t offset = (off_t)conn->out_offset;

	if (conn->out_offset < header_size) {
		header(bytes, conn, conn->sent);
		return send_result(conn, send(conn->fd, bytes + conn->out_offset, header_size - conn->out_offset,
					      MSG_NOSIGNAL | MSG_MORE));
	}
	return send_result(conn, sendfile(conn->fd, body, &offset, request_size - conn->out_offset));
}

// pump sends what is owed while it can.
static void pump(struct conn *conn)
{
	while (conn->sent != conn->started) {
		uint32_t count = conn->started - conn->sent;

		if (schedule.open) {
			uint32_t room = schedule.most - (conn->sent - conn->received);

			if (room < count)
				count = room;
			if (!count)
				return;
		}
		if (!(large_out ? send_large(conn) : send_small(conn, count)))
			return;
	}
}

// begin starts a message.
static inline void begin(struct conn *conn)
{
	if (!schedule.open)
		conn->times[conn->started & times_mask] = now;
	conn->started++;
	waiting++;
}

// refill starts messages until as many are outstanding as should be.
static inline void refill(struct conn *conn)
{
	while (conn->started - conn->received < keep)
		begin(conn);
	pump(conn);
}

// ready serves an edge.
static void ready(struct conn *conn)
{
	if (large_in)
		read_large(conn);
	else
		read_small(conn);
	if (conn->fd >= 0)
		refill(conn);
}

// disown takes back what is owed but not yet begun to be sent, and returns how much.
static uint32_t disown(struct conn *conn)
{
	uint32_t count = conn->started - conn->sent - (conn->out_offset ? 1 : 0);

	conn->started -= count;
	waiting -= count;
	return count;
}

// make_requests fills out with as many requests as one send(2) takes.
static void make_requests(void)
{
	char text[64];

	request_size = (size_t)size;
	checked_size = size < HEADER ? (size_t)size : HEADER;
	header_size = kind == TABLE ? HEADER + KEY : checked_size;
	if (kind == HTTP) {
		request_size = (size_t)snprintf(text, sizeof(text), "GET /%ld HTTP/1.1\r\nHost: bench\r\n\r\n", size);
		checked_size = strlen(http_ok);
		header_size = 0;
	}
	large_in = size >= LARGE;
	large_out = request_size >= SENDFILE_MIN && request_size <= SENDFILE_MAX;
	out_messages = request_size > BULK ? 1 : BULK / request_size;
	in = must_alloc(1, BULK);
	if (large_out) {
		body = memfd_create("body", MFD_CLOEXEC);
		if (body < 0 || posix_fallocate(body, 0, size))
			err(1, "memfd_create");
		return;
	}
	out = must_alloc(out_messages, request_size);
	for (size_t i = 0; kind == HTTP && i < out_messages; i++)
		memcpy(out + i * request_size, text, request_size);
}

#endif
