package rehearsal

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/proa-os/proa/manifests"
)

// Report is the outcome of a rehearsal.
type Report struct {
	Product  string            `json:"product"`
	Arch     manifests.Arch    `json:"arch"`
	Version  manifests.Version `json:"version"` // that was gone to
	Release  manifests.Digest  `json:"release"` // of its release.json
	Channel  string            `json:"channel"` // that the machines followed
	Settings manifests.Digest  `json:"settings,omitzero"`
	Checks   []string          `json:"checks"` // names of Config.Checks
	Accel    string            `json:"accel"`
	Memory   int               `json:"memory"` // of a machine, in MiB
	CPUs     int               `json:"cpus"`   // of a machine
	Started  time.Time         `json:"started"`
	Finished time.Time         `json:"finished"`
	Pairs    []Pair            `json:"pairs"`
}

// Pair is what happened from one release on.
type Pair struct {
	From    manifests.Version `json:"from"`
	Release manifests.Digest  `json:"release"` // of its release.json
	Scenes  []Scene           `json:"scenes"`
}

// Outcome is how a scene ended.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped" // one before it failed
)

// Scene is one thing that was done to a machine, and how it took it.
type Scene struct {
	Name    string  `json:"name"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"` // unless it passed
	Seconds int     `json:"seconds"`
	Boots   []Boot  `json:"boots"`             // that ended in it
	Picture string  `json:"picture,omitempty"` // file of Config.Dir with what the display showed
	Console string  `json:"console,omitempty"` // end of the serial console's log
}

// Boot is one run of a machine.
type Boot struct {
	Log     string `json:"log"` // file of Config.Dir with what came over the serial console
	Ended   string `json:"ended"`
	Seconds int    `json:"seconds"`
	Memory  int64  `json:"memory"`  // bytes: the most that QEMU had
	Fetched int64  `json:"fetched"` // bytes of artifacts that were sent to it
}

// Passed reports whether every scene has.
func (r Report) Passed() bool {
	for _, p := range r.Pairs {
		for _, s := range p.Scenes {
			if s.Outcome != Passed {
				return false
			}
		}
	}
	return len(r.Pairs) > 0
}

// totals are of a scene's boots.
func (s Scene) totals() (memory, fetched int64) {
	for _, b := range s.Boots {
		memory, fetched = max(memory, b.Memory), fetched+b.Fetched
	}
	return memory, fetched
}

// WriteTable writes the report for people.
func (r Report) WriteTable(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "FROM\tSCENE\tOUTCOME\tTIME\tMEMORY\tFETCHED")
	for _, p := range r.Pairs {
		for _, s := range p.Scenes {
			memory, fetched := s.totals()
			used := "-\t-" // of a boot that goes on in the next scene
			if len(s.Boots) > 0 {
				used = fmt.Sprintf("%d MiB\t%d bytes", memory>>20, fetched)
			}
			fmt.Fprintf(out, "%s\t%s\t%s\t%d s\t%s\n", p.From, s.Name, s.Outcome, s.Seconds, used)
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	how := "emulated"
	if !strings.HasPrefix(r.Accel, "tcg") {
		how = "with " + r.Accel
	}
	verdict := "passed"
	if !r.Passed() {
		verdict = "failed"
	}
	_, err := fmt.Fprintf(w, "\n%s %s %s, by channel %s: %s after %d s, on machines with %d MiB and %d CPU, %s\n",
		r.Product, r.Version, r.Arch, r.Channel, verdict, seconds(r.Finished.Sub(r.Started)), r.Memory, r.CPUs, how)
	for _, p := range r.Pairs {
		for _, s := range p.Scenes {
			if s.Outcome == Failed && err == nil {
				_, err = fmt.Fprintf(w, "from %s: %s: %s\n", p.From, s.Name, s.Reason)
			}
		}
	}
	return err
}

// Rehearsal is what there is to attest of a report that passed.
func (r Report) Rehearsal() (manifests.Rehearsal, error) {
	if !r.Passed() {
		return manifests.Rehearsal{}, fmt.Errorf("the rehearsal of %s did not pass: there is nothing to attest", r.Version)
	}
	attested := manifests.Rehearsal{
		Product: r.Product, Version: r.Version, Arch: r.Arch, Channel: r.Channel,
		Finished: r.Finished.UTC().Truncate(time.Second), Accel: r.Accel, Settings: r.Settings, Checks: r.Checks,
	}
	for _, p := range r.Pairs {
		from := manifests.RehearsedFrom{Version: p.From, Release: p.Release}
		for _, s := range p.Scenes {
			from.Passed = append(from.Passed, s.Name)
		}
		attested.From = append(attested.From, from)
	}
	return attested, nil
}

// The parts of JUnit's XML that CI servers agree on
// (https://github.com/testmoapp/junitxml).
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     int          `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     int         `xml:"time,attr"`
	Stamp    string      `xml:"timestamp,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    int           `xml:"time,attr"`
	Failure *junitMessage `xml:"failure"`
	Skipped *junitMessage `xml:"skipped"`
	Output  string        `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes the report for CI servers: a suite for each release that was gone
// from, a case for each scene.
func (r Report) WriteJUnit(w io.Writer) error {
	all := junitSuites{Name: fmt.Sprintf("rehearsal of %s %s %s", r.Product, r.Version, r.Arch), Time: seconds(r.Finished.Sub(r.Started))}
	for _, p := range r.Pairs {
		suite := junitSuite{
			Name:  fmt.Sprintf("from %s to %s", p.From, r.Version),
			Stamp: r.Started.UTC().Format("2006-01-02T15:04:05"),
		}
		for _, s := range p.Scenes {
			c := junitCase{Class: fmt.Sprintf("rehearsal.%s.from %s", r.Product, p.From), Name: s.Name, Time: s.Seconds, Output: s.output()}
			switch s.Outcome {
			case Failed:
				c.Failure = &junitMessage{s.Reason, s.Console}
				suite.Failures++
			case Skipped:
				c.Skipped = &junitMessage{s.Reason, ""}
				suite.Skipped++
			}
			suite.Cases, suite.Time, suite.Tests = append(suite.Cases, c), suite.Time+s.Seconds, suite.Tests+1
		}
		all.Suites = append(all.Suites, suite)
		all.Tests, all.Failures, all.Skipped = all.Tests+suite.Tests, all.Failures+suite.Failures, all.Skipped+suite.Skipped
	}
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	return err
}

// output is what a case says beside its outcome.
func (s Scene) output() string {
	var out strings.Builder
	for _, b := range s.Boots {
		fmt.Fprintf(&out, "%s: %s after %d s, %d MiB, %d bytes fetched\n", b.Log, b.Ended, b.Seconds, b.Memory>>20, b.Fetched)
	}
	if s.Picture != "" {
		fmt.Fprintf(&out, "picture: %s\n", s.Picture)
	}
	return out.String()
}
