package record

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is where and of what figures are.
type Machine struct {
	Date     string `json:"date"`
	Commit   string `json:"commit"`
	Kernel   string `json:"kernel"`
	CPU      string `json:"cpu"`
	CPUs     int    `json:"cpus"`
	Go       string `json:"go"`
	Compiler string `json:"c_compiler"`
}

// DescribeMachine looks at the machine it runs on, and at the checkout it is run in.
func DescribeMachine() Machine {
	return Machine{
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

// String is the machine in one line, as pictures carry it.
func (m Machine) String() string {
	return fmt.Sprintf("%d × %s, Linux %s, %s, commit %s, %s", m.CPUs, m.CPU, m.Kernel, m.Go, m.Commit, m.Date)
}
