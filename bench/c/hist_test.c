// Tests hist.h; run by TestHistogram.
#include <assert.h>
#include <stdio.h>

#include "hist.h"

static struct hist hist;

// buckets_cover checks that neighbouring buckets leave no gap and no overlap.
static void buckets_cover(void)
{
	for (uint32_t i = 0; i + 1 < HIST_SIZE; i++) {
		uint64_t upper = hist_upper(i);

		assert(hist_index(upper) == i);
		assert(hist_index(upper + 1) == i + 1);
	}
	assert(hist_upper(HIST_SIZE - 1) == UINT64_MAX);
}

// error_is_bounded checks the promise at the top of hist.h.
static void error_is_bounded(void)
{
	for (uint64_t value = 1; value < (uint64_t)1 << 62; value += value / 3 + 1) {
		uint64_t upper = hist_upper(hist_index(value));

		assert(upper >= value);
		assert(upper - value <= value / HIST_SUB);
	}
}

// values_are_counted checks that what is added is found again, and nothing else.
static void values_are_counted(void)
{
	uint64_t seen = 0;

	for (uint64_t value = 0; value < 3 * HIST_SUB; value++)
		hist_add(&hist, value);
	for (uint32_t i = 0; i < HIST_SIZE; i++)
		seen += hist.bucket[i];
	assert(seen == 3 * HIST_SUB && hist.total == seen);
	assert(hist.bucket[1] == 1);
	assert(hist.bucket[hist_index(2 * HIST_SUB)] == 2);
	assert(hist.bucket[hist_index(3 * HIST_SUB)] == 0);
}

int main(void)
{
	buckets_cover();
	error_is_bounded();
	values_are_counted();
	puts("ok");
	return 0;
}
