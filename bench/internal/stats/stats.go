// Package stats sums up repeated measurements: medians, ratios of what was measured side
// by side, and how far to trust them.
package stats

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// Median returns the middle value, the mean of the two middle ones, or NaN of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return median(slices.Clone(values))
}

// median is Median, and sorts its argument.
func median(values []float64) float64 {
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

// Quantile returns the smallest value that at least q of all values do not exceed, NaN
// of none.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return stat.Quantile(q, stat.Empirical, slices.Sorted(slices.Values(values)), nil)
}

// Mean is the arithmetic mean, NaN of none.
func Mean(values []float64) float64 { return stat.Mean(values, nil) }

// Spread is the distance between the quartiles, in medians: how much a value that is
// measured again tends to be another one.
func Spread(values []float64) float64 {
	return (Quantile(values, 0.75) - Quantile(values, 0.25)) / Median(values)
}

// Estimate is a median and an interval that holds it with 95 % confidence.
type Estimate struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	N      int     `json:"n"`
}

// resamples is how often Bootstrap draws; the interval's ends then vary by a tenth of
// its width or less.
const resamples = 1000

// Bootstrap estimates the median of values by drawing from them again and again (the
// percentile bootstrap). The draws are the same each time, so that the same values give
// the same interval. None give NaN.
func Bootstrap(values []float64) Estimate {
	n := len(values)
	if n == 0 {
		return Estimate{math.NaN(), math.NaN(), math.NaN(), 0}
	}
	random := rand.New(rand.NewPCG(1, uint64(n)))
	drawn := make([]float64, n)
	medians := make([]float64, resamples)
	for i := range medians {
		for j := range drawn {
			drawn[j] = values[random.IntN(n)]
		}
		medians[i] = median(drawn)
	}
	return Estimate{Median(values), Quantile(medians, 0.025), Quantile(medians, 0.975), n}
}

// Ratios divides pairwise. What stands at the same place was measured side by side; a
// place where either side is NaN, or the divisor 0, is left out.
func Ratios(values, floors []float64) []float64 {
	var quotients []float64
	for i := range min(len(values), len(floors)) {
		if q := values[i] / floors[i]; !math.IsNaN(q) && !math.IsInf(q, 0) {
			quotients = append(quotients, q)
		}
	}
	return quotients
}

// Column takes one value from each item.
func Column[T any](items []T, value func(T) float64) []float64 {
	values := make([]float64, len(items))
	for i, item := range items {
		values[i] = value(item)
	}
	return values
}

// ByRound takes one value from each item to the place of its round, NaN where there is
// none, so that Ratios finds side by side what was measured so.
func ByRound[T any](items []T, round func(T) int, value func(T) float64) []float64 {
	var values []float64
	for _, item := range items {
		for len(values) <= round(item) {
			values = append(values, math.NaN())
		}
		values[round(item)] = value(item)
	}
	return values
}
