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

static void quantiles(void)
{
	assert(hist_quantile(&hist, 0.5) == 0);
	for (uint64_t value = 1; value <= 100; value++)
		hist_add(&hist, value);
	assert(hist_quantile(&hist, 0) == 1);
	assert(hist_quantile(&hist, 0.5) == 50);
	assert(hist_quantile(&hist, 0.99) == 99);
	assert(hist_quantile(&hist, 1) == 100);
}

int main(void)
{
	buckets_cover();
	error_is_bounded();
	quantiles();
	puts("ok");
	return 0;
}
