// A log-linear histogram of nanoseconds: 1024 buckets to each power of two, so a
// bucket's upper end is at most 1/1024 (0.1 %) above the values in it.
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

#define HIST_BITS 10
#define HIST_SUB (1u << HIST_BITS)
#define HIST_SIZE ((64 - HIST_BITS + 1) * HIST_SUB)

struct hist {
	uint64_t total;
	uint64_t bucket[HIST_SIZE];
};

// hist_index is the bucket of value: exact below HIST_SUB, then its power of two
// and the HIST_BITS bits below the leading one.
static inline uint32_t hist_index(uint64_t value)
{
	int shift;

	if (value < HIST_SUB)
		return (uint32_t)value;
	shift = 63 - __builtin_clzll(value) - HIST_BITS;
	return ((uint32_t)(shift + 1) << HIST_BITS) + (uint32_t)((value >> shift) & (HIST_SUB - 1));
}

// hist_upper is the largest value that falls into a bucket.
static inline uint64_t hist_upper(uint32_t index)
{
	int shift = (int)(index >> HIST_BITS) - 1;

	if (shift < 0)
		return index;
	return ((uint64_t)(HIST_SUB + (index & (HIST_SUB - 1))) << shift) + ((uint64_t)1 << shift) - 1;
}

static inline void hist_add(struct hist *hist, uint64_t value)
{
	hist->total++;
	hist->bucket[hist_index(value)]++;
}

#endif
