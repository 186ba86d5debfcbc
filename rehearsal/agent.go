package rehearsal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/proa-os/proa/builder/erofs"
	"github.com/proa-os/proa/hostconfig/plan"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/updater/config"
)

// Where the agent's settings are, of a release and of a machine, without the first
// slash; the drop-ins of each are in the folder agent.d beside it.
const (
	agentOfRelease = "usr/lib/proa/agent.yaml"
	agentOfMachine = "etc/proa/agent.yaml"
	dropIns        = "agent.d"
	// ourDropIn comes after all others.
	ourDropIn = "etc/proa/agent.d/zz-rehearsal.yaml"
)

// healthName is what reasons call the check that this process answers.
const healthName = "rehearsal"

// healthLimit is for how long the check may fail: by then a machine has a network.
const healthLimit = time.Minute

// agentFiles are the files of the agent's settings, by their path without the first
// slash. Of one that is a link to /dev/null, which hides another, the content is nil.
type agentFiles map[string][]byte

// readNew reads what has to be known of the release that machines go to.
func (r *run) readNew(ctx context.Context) error {
	release, agent, err := r.read(ctx, r.to)
	if err != nil {
		return err
	}
	kernel, ok := release.Artifact(manifests.UKIFile)
	if !ok {
		return fmt.Errorf("release %s has no %s", release.Version, manifests.UKIFile)
	}
	r.kernel, r.agent = kernel.Digest, agent
	return nil
}

// read reads a release, and what its image says to the agent.
func (r *run) read(ctx context.Context, e repository.Entry) (manifests.Release, agentFiles, error) {
	image, err := os.CreateTemp(r.scratch, "root-")
	if err != nil {
		return manifests.Release{}, nil, err
	}
	defer os.Remove(image.Name())
	defer image.Close()
	release, err := repository.Extract(ctx, repository.ExtractConfig{
		Dir: r.Repository, Version: e.Version, Product: e.Product, Arch: e.Arch, Progress: r.Progress,
	}, image)
	if err != nil {
		return manifests.Release{}, nil, err
	}
	files, err := readAgentFiles(image)
	if err != nil {
		err = fmt.Errorf("reading the agent's settings of %s: %w", e.Version, err)
	}
	return release, files, err
}

// readAgentFiles reads them from the image of a root file system.
func readAgentFiles(image io.ReaderAt) (agentFiles, error) {
	root, err := erofs.Open(image)
	if err != nil {
		return nil, err
	}
	files := agentFiles{}
	for _, name := range []string{agentOfRelease, agentOfMachine} {
		if err := files.read(root, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		folder := path.Join(path.Dir(name), dropIns)
		entries, err := fs.ReadDir(root, folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if err := files.read(root, path.Join(folder, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

func (f agentFiles) read(root fs.FS, name string) error {
	if target, err := fs.ReadLink(root, name); err == nil && target == os.DevNull {
		f[name] = nil
		return nil
	}
	content, err := fs.ReadFile(root, name)
	if err == nil {
		f[name] = append([]byte{}, content...)
	}
	return err
}

// with are the files after a configuration was applied to the machine.
func (f agentFiles) with(p *plan.Plan) agentFiles {
	all := agentFiles{}
	for name, content := range f {
		all[name] = content
	}
	ours := func(name string) (string, bool) {
		name = path.Clean(name)[1:]
		return name, name == agentOfMachine || path.Dir(name) == path.Join(path.Dir(agentOfMachine), dropIns)
	}
	for _, file := range p.Files {
		if name, ok := ours(file.Path); ok {
			content := file.Contents
			if content == nil {
				content = all[name]
			}
			all[name] = append(append([]byte{}, content...), file.Append...)
		}
	}
	for _, link := range p.Links {
		if name, ok := ours(link.Path); ok && link.Target == os.DevNull {
			all[name] = nil
		}
	}
	return all
}

// settings are what the agent makes of the files.
func (f agentFiles) settings() (config.Effective, error) {
	dir, err := os.MkdirTemp("", "proa-agent-")
	if err != nil {
		return config.Effective{}, err
	}
	defer os.RemoveAll(dir)
	files := agentFiles{ourDropIn: []byte("repository: http://localhost\n")} // one must be named
	for name, content := range f {
		files[name] = content
	}
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return config.Effective{}, err
		}
		if content == nil {
			err = os.Symlink(os.DevNull, file)
		} else {
			err = os.WriteFile(file, content, 0o600)
		}
		if err != nil {
			return config.Effective{}, err
		}
	}
	return config.Read(filepath.Join(dir, agentOfRelease), filepath.Join(dir, agentOfMachine))
}

// dropIn is what the machine's agent is told on top: to follow a channel of the
// repository at a URL, at once, and to ask check as the last of the health checks
// of the new release. What an older agent may not know is said only where its own
// settings say it.
func dropIn(url, channel, check string, from, to config.Effective) ([]byte, error) {
	limit := min(config.Duration(healthLimit), from.Settings.HealthLimit, to.Settings.HealthLimit)
	ours := manifests.HealthCheck{Name: healthName, HTTP: check, Limit: limit, Timeout: min(limit, to.Settings.HealthTimeout, from.Settings.HealthTimeout)}
	said := map[string]any{
		"repository": url,
		"channel":    channel,
		"policy":     config.Automatic,
		"poll":       "1m",
		"jitter":     "0s",
		"windows":    []config.Window{},
		"watch":      "0s",
		"health":     append(append([]manifests.HealthCheck{}, to.Settings.Health...), ours),
	}
	for key, none := range map[string]any{"neighbours": []string{}, "folders": []string{}, "rateLimit": "0", "proxy": "none"} {
		if _, set := from.From[key]; set {
			said[key] = none
		}
	}
	return json.Marshal(said) // which is YAML
}
