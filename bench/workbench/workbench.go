// Package workbench runs the commands that a benchmark measures, and makes the
// host that updates are measured on. It is for the commands in bench alone.
package workbench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Bench is where commands run.
type Bench struct {
	Folder   string // where they work; required
	Kept     string // what stays from one run to the next: downloads; required
	Programs string // where proa, proa-agent and proa-init are; required
}

// Path is a path in the folder.
func (b *Bench) Path(parts ...string) string {
	return filepath.Join(append([]string{b.Folder}, parts...)...)
}

// Cache is the folder of the builds' cache.
func (b *Bench) Cache() string { return filepath.Join(b.Kept, "proa") }

// Sample is one run of one command.
type Sample struct {
	Took time.Duration
	CPU  time.Duration // of processors, in user and kernel mode, of all processes of the command
	Peak int64         // bytes of memory: the largest process of the command
}

// Command runs a shell command in the folder.
func (b *Bench) Command(ctx context.Context, command string) (Sample, error) {
	s, _, err := b.Output(ctx, command)
	return s, err
}

// Output runs a shell command in the folder, and gives what it printed. It runs
// under time(1), whose own memory is small. That matters: Linux counts what a
// child had of its parent before exec.
func (b *Bench) Output(ctx context.Context, command string) (Sample, string, error) {
	report := b.Path("time")
	cmd := exec.CommandContext(ctx, "/usr/bin/time", "-f", "%M %U %S", "-o", report, "sh", "-c", command)
	cmd.Dir = b.Folder
	cmd.Env = append(cmd.Environ(), "PATH="+b.Programs+":/usr/sbin:/sbin:"+pathOf(cmd), "PROA_CACHE="+b.Cache())
	// What a shell started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	var output, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &problems
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return Sample{}, "", fmt.Errorf("%s: %w\n%s%s", command, err, output.String(), problems.String())
	}
	took := time.Since(began)
	text, err := os.ReadFile(report)
	if err != nil {
		return Sample{}, "", err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var kib int64
	var user, system float64
	_, err = fmt.Sscan(lines[len(lines)-1], &kib, &user, &system)
	return Sample{took, time.Duration((user + system) * 1e9), kib << 10}, output.String(), err
}

func pathOf(cmd *exec.Cmd) string {
	for _, v := range cmd.Environ() {
		if value, ok := strings.CutPrefix(v, "PATH="); ok {
			return value
		}
	}
	return "/usr/bin:/bin"
}

// Median is the middle of the times.
func Median(samples []Sample) time.Duration { return Middle(samples).Took }

// Middle has the middle of the times, that of the times of processors, and the most
// memory.
func Middle(samples []Sample) Sample {
	of := func(time func(Sample) time.Duration) time.Duration {
		sorted := slices.SortedFunc(slices.Values(samples), func(a, b Sample) int { return int(time(a) - time(b)) })
		return time(sorted[len(sorted)/2])
	}
	return Sample{
		Took: of(func(s Sample) time.Duration { return s.Took }),
		CPU:  of(func(s Sample) time.Duration { return s.CPU }),
		Peak: Peak(samples),
	}
}

// Peak is the most memory of any of the samples, in bytes.
func Peak(samples []Sample) int64 {
	most := int64(0)
	for _, s := range samples {
		most = max(most, s.Peak)
	}
	return most
}

// ReadJSON reads what interests of a file.
func ReadJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
