// CPU clocks of other processes: the server's, read at the very ends of a window.
#ifndef BENCH_WATCH_H
#define BENCH_WATCH_H

#include "netns.h"

#include <stdint.h>
#include <time.h>

static clockid_t *watched;
static size_t watched_count;

// watch begins with a list of process ids, separated by blanks.
static void watch(char *pids)
{
	watched_count = 0;
	for (char *end; *pids && *pids != '\n'; pids = end) {
		long pid = strtol(pids, &end, 10);

		if (end == pids || pid <= 0)
			errx(2, "watch: want process ids, got: %s", pids);
		watched = realloc(watched, (watched_count + 1) * sizeof(*watched));
		if (!watched)
			err(1, "realloc");
		watched[watched_count++] = (clockid_t)(~(unsigned)pid << 3 | 2); // clock_getcpuclockid(3)
	}
}

// watched_cpu is what they have used up to now, in nanoseconds. One that has ended
// counts no more.
static uint64_t watched_cpu(void)
{
	struct timespec time;
	uint64_t sum = 0;

	for (size_t i = 0; i < watched_count; i++)
		if (clock_gettime(watched[i], &time) == 0)
			sum += (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
	return sum;
}

#endif
