package main

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is where and of what the figures are.
type machine struct {
	Date     string `json:"date"`
	Commit   string `json:"commit"`
	Kernel   string `json:"kernel"`
	CPU      string `json:"cpu"`
	CPUs     int    `json:"cpus"`
	Go       string `json:"go"`
	Compiler string `json:"c_compiler"`
}

func describeMachine() machine {
	return machine{
		Date:     time.Now().UTC().Format(time.RFC3339),
		Commit:   commit(),
		Kernel:   kernel(),
		CPU:      cpuModel(),
		CPUs:     runtime.NumCPU(),
		Go:       runtime.Version(),
		Compiler: firstLine("gcc", "--version"),
	}
}

// commit is the short hash of what is checked out, marked if files differ from it.
func commit() string {
	hash := firstLine("git", "rev-parse", "--short", "HEAD")
	if hash != "" && firstLine("git", "status", "--porcelain", "--untracked-files=no") != "" {
		hash += "-dirty"
	}
	return hash
}

// kernel is the running kernel's release: uname(2).
func kernel() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// cpuModel is the first model name in /proc/cpuinfo.
func cpuModel() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// firstLine is a command's first line of output, empty if it fails.
func firstLine(name string, args ...string) string {
	output, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(output), "\n")
	return line
}
