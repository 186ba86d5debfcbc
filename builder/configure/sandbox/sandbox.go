// Package sandbox runs the scripts of packages where they can harm nothing: in
// namespaces of their own (user, mount, process, network, IPC, host name), on
// a copy of the tree in memory (tmpfs), without network, without any path of
// the host, with few capabilities and system calls, and for a bounded time.
//
// The program runs itself again in there, so Main must be the first thing that
// it calls. What it runs is a sealed copy in memory: nothing inside can reach
// the program's file. As root, the ids 0 to 65535 inside stand for a range of
// host ids that nobody has; as an ordinary user newuidmap(1), newgidmap(1) and
// a range in /etc/subuid and /etc/subgid are needed.
//
// What the scripts leave unchanged is the same node of the tree afterwards.
// Device nodes and sockets of the tree are kept aside. Times do not count. Logs,
// and what each machine must have for itself (its id, SSH host keys), are not
// taken over.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// Config says which scripts run.
type Config struct {
	Packages []packages.About // in dependency order: what others need comes first
	Source   string           // of what scripts make
	Epoch    int64            // the build's time, in seconds since 1970
	Limit    time.Duration    // for each script; 0 is 10 minutes
}

// Report says what became of each script, in the order in which they ran. It
// has no times, so that two runs can be compared.
type Report struct {
	Scripts []Result `json:"scripts,omitempty"`
	Changed []string `json:"changed,omitempty"` // paths that were made, changed or removed
}

// Result is one script that ran, or that could not.
type Result struct {
	Package string `json:"package"`
	Script  string `json:"script"` // as the format calls it, with its arguments
	Status  int    `json:"status"` // of its exit; 128 and the signal that ended it
	Output  string `json:"output,omitempty"`
	NotRun  string `json:"notRun,omitempty"` // why it did not run
}

// Run runs the scripts and takes over what they changed. A script that fails
// is an error that names its package; the tree is as before then.
func Run(ctx context.Context, t *tree.Tree, store *content.Store, c Config) (Report, error) {
	if c.Limit <= 0 {
		c.Limit = 10 * time.Minute
	}
	jobs, skipped := plan(c.Packages)
	report := Report{Scripts: skipped}
	if len(jobs) == 0 {
		return report, nil
	}
	p, err := start(ctx)
	if err != nil {
		return report, err
	}
	defer p.stop()
	r, err := p.converse(ctx, t, store, request{Jobs: jobs, Epoch: c.Epoch, Limit: c.Limit})
	if err != nil {
		return report, err
	}
	report.Scripts = append(report.Scripts, r.results...)
	for _, result := range r.results {
		if result.Status != 0 {
			return report, fmt.Errorf("package %s: %s ended with status %d: %s", result.Package, result.Script, result.Status, lastLine(result.Output))
		}
	}
	report.Changed, err = apply(t, r.changes, c.Source)
	return report, err
}

func lastLine(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return lines[len(lines)-1]
}

// Available says why scripts cannot run in a sandbox here; nil if they can.
func Available() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p, err := start(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	_, err = p.converse(ctx, tree.New(), nil, request{Limit: time.Minute})
	return err
}

var errNoPrograms = errors.New("no sandbox: an ordinary user needs newuidmap and newgidmap (Debian: uidmap), and a range in /etc/subuid and /etc/subgid")
