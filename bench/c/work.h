// Work that a message may cost beside its system calls; internal/serve has the same in Go.
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include <stdint.h>
#include <time.h>

// work computes for a number of rounds: a xorshift generator, whose operations wait for
// each other. So it hardly runs slower when something else runs beside it in the core, as
// a loop that only counts does (by half, on the machine where this was written).
static inline void work(uint64_t rounds)
{
	uint64_t x = 88172645463325252;

	while (rounds--) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		__asm__ volatile("" : "+r"(x));
	}
}

// thread_cpu is the CPU time of the calling thread in nanoseconds.
static inline uint64_t thread_cpu(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

// work_rounds is how many rounds take some microseconds of CPU time: by the fastest of
// many short tries, since whatever disturbs one makes it slower.
static inline uint64_t work_rounds(long microseconds)
{
	const uint64_t tries = 40, rounds = 250000;
	uint64_t best = UINT64_MAX;

	for (uint64_t i = 0; microseconds && i < tries; i++) {
		uint64_t before = thread_cpu(), spent;

		work(rounds);
		spent = thread_cpu() - before;
		if (spent < best)
			best = spent;
	}
	return (uint64_t)microseconds * 1000 * rounds / best;
}

#endif
