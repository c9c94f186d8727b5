package main

import (
	"math"
	"slices"
)

// median returns the middle value, the mean of the two middle ones, or NaN of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// spread is the distance from the least to the greatest value, in medians.
func spread(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return (slices.Max(values) - slices.Min(values)) / median(values)
}

// A ratio sums up one quotient a round.
type ratio struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// ratioOf divides by round, as both sides of a round ran next to each other, and then
// sums up. A round that lacks one side does not count; with none left, ok is false.
func ratioOf(values, floors map[int]float64) (r ratio, ok bool) {
	var quotients []float64
	for round, value := range values {
		if floor := floors[round]; floor > 0 {
			quotients = append(quotients, value/floor)
		}
	}
	if len(quotients) == 0 {
		return ratio{}, false
	}
	return ratio{median(quotients), slices.Min(quotients), slices.Max(quotients)}, true
}
