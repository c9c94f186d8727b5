// Package cmd holds the servers under measurement, and the test that each of them is one.
package cmd
