package serve

import (
	"bufio"
	"os"
	"strings"
)

// ExpandPaths replaces each @file by the lines of that file.
func ExpandPaths(args []string) ([]string, error) {
	var paths []string
	for _, arg := range args {
		file, isList := strings.CutPrefix(arg, "@")
		if !isList {
			paths = append(paths, arg)
			continue
		}
		lines, err := readLines(file)
		if err != nil {
			return nil, err
		}
		paths = append(paths, lines...)
	}
	return paths, nil
}

// readLines returns the lines of a file that are not empty.
func readLines(name string) ([]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var lines []string
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		if line := strings.TrimSpace(scanner.Text()); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, scanner.Err()
}
