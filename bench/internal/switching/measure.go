package switching

import "context"

// Measure visits points, one thread in the order of the namespaces, and saves nothing:
// for package regress, which wants the ratios alone.
func Measure(ctx context.Context, namespaces []int, rounds, calls int) (Summary, error) {
	most := 0
	for _, n := range namespaces {
		most = max(most, n)
	}
	spaces, err := makeSpaces(ctx, most)
	if err != nil {
		return Summary{}, err
	}
	defer spaces.Close()
	var visits []visit
	for round := range rounds {
		for _, n := range namespaces {
			visits = append(visits, visit{namespaces: n, threads: 1, order: Sequential, round: round})
		}
	}
	found := newFindings()
	c := Command{Calls: calls}
	if err := c.measure(ctx, spaces, visits, found); err != nil {
		return Summary{}, err
	}
	return found.summary(), nil
}
