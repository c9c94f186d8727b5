package metrics

import "strings"

// label makes a string fit to be a label's value, which has to be UTF-8: a
// file name, and so a namespace's, may be any bytes. Two names may become one,
// but netns_id still tells them apart.
func label(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
