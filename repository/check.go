package repository

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/signing"
)

// CheckConfig is what Check needs.
type CheckConfig struct {
	Dir       string            // the repository's folder, or that of a mirror; required
	SizesOnly bool              // do not read artifacts: compare their sizes alone
	Now       func() time.Time  // nil means time.Now
	Progress  progress.Reporter // nil means silent
}

// Checked is what Check found.
type Checked struct {
	Schema     int        `json:"schema"` // 1
	Releases   int        `json:"releases"`
	Channels   int        `json:"channels"`
	Targets    int        `json:"targets"`
	Artifacts  int        `json:"artifacts"`  // that releases refer to, each once
	Size       int64      `json:"size"`       // bytes of the artifacts
	Superseded int        `json:"superseded"` // files of earlier states, which no host fetches any more
	Metadata   []Metadata `json:"metadata"`   // of each role
	// Wrong is what hosts would refuse or miss.
	Wrong []Finding `json:"wrong"`
	// Noted is what does them no harm and should be known: files that nothing signed
	// refers to, channels that point to what is retracted.
	Noted []Finding `json:"noted"`
}

// Finding is one thing that Check found.
type Finding struct {
	Path string `json:"path"` // in the repository, of a file or folder; or the name of a target
	What string `json:"what"` // for people
}

// Check reads a whole repository as a stranger would who has it from a mirror and
// knows nothing but its first root: metadata over the chain of all roots, every
// target and every artifact by digest, what they say of each other, and what lies
// about. It needs no keys, takes no lock and changes nothing. That something is wrong
// is no error. What is published meanwhile may be seen in part.
//
// That a root image is what its root hash says is seen when it is published and
// by each host; here it is what was signed then.
func Check(ctx context.Context, cfg CheckConfig) (Checked, error) {
	defaults := Config{Now: cfg.Now, Progress: cfg.Progress}.withDefaults()
	cfg.Now, cfg.Progress = defaults.Now, defaults.Progress
	if err := checkRepository(cfg.Dir); err != nil {
		return Checked{}, err
	}
	folder, err := os.MkdirTemp("", "proa-host-")
	if err != nil {
		return Checked{}, err
	}
	defer os.RemoveAll(folder)
	c := &checking{
		cfg: cfg, trusted: folder, repository: &repository{Config: Config{Dir: cfg.Dir}}, known: map[string]bool{},
		releases: map[listed]*documents{}, artifacts: map[manifests.Digest]needed{},
		Checked: Checked{Schema: 1, Metadata: []Metadata{}, Wrong: []Finding{}, Noted: []Finding{}},
	}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"checking the metadata", c.checkMetadata},
		{"reading the targets", c.readTargets},
		{"comparing releases", c.compareReleases},
		{"reading the artifacts", c.checkArtifacts},
		{"looking for what nobody signed", c.checkLeftovers},
	} {
		if err := ctx.Err(); err != nil {
			return Checked{}, err
		}
		if err := step.run(ctx); err != nil && !errors.Is(err, errNoMetadata) {
			return Checked{}, fmt.Errorf("%s: %w", step.name, err)
		} else if err != nil {
			break // nothing says what else there should be
		}
	}
	return c.Checked, nil
}

// errNoMetadata ends a check early.
var errNoMetadata = errors.New("no metadata can be believed")

// checking is a check under way.
type checking struct {
	*repository // its meta is set by checkMetadata
	Checked
	cfg      CheckConfig
	trusted  string          // the folder of a stranger's trusted metadata
	stranger *signing.Client // nil when a host would refuse the metadata
	known    map[string]bool // files that something signed refers to, by path

	releases  map[listed]*documents // by product, architecture and version
	artifacts map[manifests.Digest]needed
	channels  []manifests.Channel
}

// needed is a file that a release refers to.
type needed struct {
	size int64
	what string
}

func (c *checking) wrong(path, format string, args ...any) {
	c.Wrong = append(c.Wrong, Finding{path, fmt.Sprintf(format, args...)})
}

func (c *checking) note(path, format string, args ...any) {
	c.Noted = append(c.Noted, Finding{path, fmt.Sprintf(format, args...)})
}

// checkMetadata refreshes a new host's client from the first root on. Where it refuses,
// the rest is checked by the metadata as its owner would read it, if that is signed.
func (c *checking) checkMetadata(ctx context.Context) error {
	refused := c.asStranger(ctx)
	if refused != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.stranger = nil
		c.wrong(metadataFolder, "a host would refuse it: %v", refused)
	}
	meta, err := readMetadata(c.Dir)
	if err != nil {
		if refused == nil {
			c.wrong(metadataFolder, "%v", err)
		}
		return errNoMetadata
	}
	c.meta = meta
	for _, role := range signing.Roles() {
		c.Metadata = append(c.Metadata, Metadata{role, meta.Version(role), meta.Expires(role)})
	}
	for _, name := range meta.Files() {
		c.known[metadataFolder+"/"+name] = true
	}
	for _, name := range meta.Ambiguous() {
		c.wrong(name, "targets.json lists it and a bin does, too: hosts believe the first")
	}
	newest := meta.Version(signing.RoleRoot)
	for n := range newest {
		c.known[rootPath(n+1)] = true
	}
	copied := metadataFolder + "/" + rootCopyFile
	c.known[copied] = true
	want, err := os.ReadFile(filepath.Join(c.Dir, rootPath(newest)))
	if err != nil {
		return err
	}
	if got, err := os.ReadFile(filepath.Join(c.Dir, copied)); err != nil || string(got) != string(want) {
		c.wrong(copied, "it is no copy of root %d, the newest: images would be built with another", newest)
	}
	return nil
}

func rootPath(version int64) string { return fmt.Sprintf("%s/%d.root.json", metadataFolder, version) }

func (c *checking) asStranger(ctx context.Context) error {
	root, err := os.ReadFile(filepath.Join(c.Dir, rootPath(1)))
	if err != nil {
		return err
	}
	c.stranger, err = signing.OpenClient(signing.Config{
		URL:  "http://repository.invalid",
		Dir:  c.trusted,
		Root: root,
		HTTP: &http.Client{Transport: http.NewFileTransportFS(os.DirFS(c.Dir))},
		Now:  c.cfg.Now,
	})
	if err != nil {
		return err
	}
	if err := c.stranger.Refresh(ctx); err != nil {
		return err
	}
	_, err = c.stranger.Targets(ctx) // reads every bin
	return err
}
