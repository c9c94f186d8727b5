// Package switching measures how long a thread takes from one network namespace to
// another, by how many namespaces it goes round: the paper's Figures 7 and 8.
//
// A run goes round all numbers of namespaces again and again. At each it makes a short
// visit, in which what is compared takes turns in blocks of well under a millisecond,
// so that ratios are of what ran side by side.
package switching
