// Package observe shows an operator what sessions do: metrics for Prometheus by tenant and
// volume, and a page of sessions in JSON.
//
// What happens once a command costs a few atomic additions: the counters of a volume hang
// on its logical unit, so that nothing is looked up and no label is made. They are not
// split by loop: a volume mostly has one session, and so one loop that counts.
package observe
