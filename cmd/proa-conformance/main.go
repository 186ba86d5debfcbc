// Command proa-conformance is the client of hosts, package signing, behind the
// command line with which suites of tests for TUF clients drive one
// (https://github.com/theupdateframework/tuf-conformance, CLIENT-CLI.md). It is
// for such tests alone:
//
//	proa-conformance --metadata-dir D init ROOT.json
//	proa-conformance --metadata-dir D --metadata-url U refresh
//	proa-conformance --metadata-dir D --metadata-url U --target-name N --target-dir T --target-base-url B download
//
// It exits with 0, or with 1 and one line on standard error. D holds what the
// client trusts, as root.json, timestamp.json, snapshot.json and targets.json. A
// target N is kept as T/N, and not fetched again while it is the right one.
//
// The time is what the program date says: a test that wants another one puts its
// own date, or libfaketime, in front. A program in Go does not see the latter
// itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/signing"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "proa-conformance:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	metadataDir, metadataURL              string
	targetName, targetDir, targetsBaseURL string
}

func run(ctx context.Context, args []string) error {
	var s settings
	flags := flag.NewFlagSet("proa-conformance", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // what is wrong is said once
	flags.StringVar(&s.metadataDir, "metadata-dir", "", "the folder of trusted metadata")
	flags.StringVar(&s.metadataURL, "metadata-url", "", "where the repository's metadata is")
	flags.StringVar(&s.targetName, "target-name", "", "the target to download")
	flags.StringVar(&s.targetDir, "target-dir", "", "the folder of downloaded targets")
	flags.StringVar(&s.targetsBaseURL, "target-base-url", "", "where the repository's targets are")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch command, rest := flags.Arg(0), max(0, flags.NArg()-1); {
	case s.metadataDir == "":
		return errors.New("want --metadata-dir")
	case command == "init" && rest == 1:
		return s.init(flags.Arg(1))
	case command == "refresh" && rest == 0:
		_, err := s.refresh(ctx)
		return err
	case command == "download" && rest == 0:
		return s.download(ctx)
	}
	return fmt.Errorf("%.80q: want init ROOT.json, refresh or download", strings.Join(flags.Args(), " "))
}

// rootMost bounds a trust root, in bytes.
const rootMost = 1 << 20

// init starts to trust a root.
func (s settings) init(path string) error {
	root, err := regular.Read(path, rootMost)
	if err != nil {
		return err
	}
	if err := signing.CheckTrustRoot(root); err != nil {
		return err
	}
	if err := durable.MakeFolder(s.metadataDir); err != nil {
		return err
	}
	return durable.WriteFile(s.rootFile(), root, 0o644)
}

func (s settings) rootFile() string { return filepath.Join(s.metadataDir, "root.json") }

// refresh updates what is trusted.
func (s settings) refresh(ctx context.Context) (*signing.Client, error) {
	root, err := regular.Read(s.rootFile(), rootMost)
	if err != nil {
		return nil, fmt.Errorf("trust root: %w", err)
	}
	now, err := date(ctx)
	if err != nil {
		return nil, err
	}
	http, err := s.http()
	if err != nil {
		return nil, err
	}
	client, err := signing.OpenClient(signing.Config{
		URL: repository, Dir: s.metadataDir, Root: root, HTTP: http, Now: func() time.Time { return now },
	})
	if err != nil {
		return nil, err
	}
	return client, client.Refresh(ctx)
}

// date asks the program date, which tests can make say what they want.
func date(ctx context.Context) (time.Time, error) {
	out, err := exec.CommandContext(ctx, "date", "-u", "+%s").Output()
	if err != nil {
		return time.Time{}, fmt.Errorf("date: %w", err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("date: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// download refreshes and gets a target.
func (s settings) download(ctx context.Context) error {
	if s.targetName == "" || s.targetDir == "" || s.targetsBaseURL == "" {
		return errors.New("want --target-name, --target-dir and --target-base-url")
	}
	client, err := s.refresh(ctx)
	if err != nil {
		return err
	}
	target, err := client.Fetch(ctx, s.targetName)
	if err != nil {
		return err
	}
	path := s.targetFile(target.Name())
	if err := durable.MakeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	return durable.WriteFile(path, target.Bytes(), 0o644)
}

// targetFile is where a target is kept. The client has no name that leads out of
// the folder.
func (s settings) targetFile(name string) string {
	return filepath.Join(s.targetDir, filepath.FromSlash(name))
}
