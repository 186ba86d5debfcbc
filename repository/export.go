package repository

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/regular"
)

// What can be wrong with what is to be exported, for errors.Is.
var (
	ErrNotExport = errors.New("it is there and is no export")
	ErrNoChannel = errors.New("no channel points to this version, or leads over it")
	ErrNoDelta   = errors.New("there is no delta from this version")
)

// exportFile begins an export and tells people what is in it. Hosts do not read it.
const exportFile = "proa-export.json"

// ExportConfig is what Export needs.
type ExportConfig struct {
	Dir  string // the repository's folder; required
	Path string // of the export: one tar file if it ends in ".tar", else a folder; required

	// One of both is required.
	Channel string            // the release that it points to, for hosts that follow it
	Version manifests.Version // this release, for hosts that follow a channel that points to it
	Product string            // empty: the only one that has it
	Arch    manifests.Arch    // empty: the only one that has it

	Base      manifests.Version // of the deltas take the one from this version alone. Optional.
	DeltaOnly bool              // leave out what hosts need that no delta fits

	Now      func() time.Time  // nil means time.Now
	Progress progress.Reporter // nil means silent
}

// Exported is what became of it.
type Exported struct {
	Schema  int           `json:"schema"` // 1
	Release PackedRelease `json:"release"`
	Whole   bool          `json:"whole"`   // any host can use it, whatever it runs
	Expires time.Time     `json:"expires"` // when hosts begin to refuse it
	Files   int           `json:"files"`
	Size    int64         `json:"size"` // bytes of the files
}

// Export writes one release, and what a host needs to believe it, to a folder or
// a tar file. Either is whole when it is there under its name; only an export is
// ever replaced. The same repository makes the same bytes.
func Export(ctx context.Context, cfg ExportConfig) (Exported, error) {
	defaults := Config{Now: cfg.Now, Progress: cfg.Progress}.withDefaults()
	p, err := packExport(cfg)
	if err != nil {
		return Exported{}, err
	}
	if err := p.CheckAsHost(ctx, nil, defaults.Now()); err != nil {
		return Exported{}, err
	}
	exported := Exported{
		Schema: 1, Release: p.Releases[0], Whole: !cfg.DeltaOnly, Expires: p.Expires, Files: len(p.Files), Size: p.Size(),
	}
	text, err := document(exported)
	if err != nil {
		return Exported{}, err
	}
	label := PackedFile{Name: exportFile, Size: int64(len(text)), Digest: manifests.DigestOf(text), content: text}
	p.Files = append([]PackedFile{label}, p.Files...)
	write := p.exportFolder
	if strings.HasSuffix(cfg.Path, ".tar") {
		write = p.exportTar
	}
	step := defaults.Progress.Step("export", p.Size())
	err = write(ctx, cfg.Path, step)
	step.Done(err)
	return exported, err
}

func packExport(cfg ExportConfig) (*Pack, error) {
	p, r, err := openPack(cfg.Dir)
	if err != nil {
		return nil, err
	}
	version := cfg.Version
	if cfg.Channel != "" {
		channel, err := r.findChannel(cfg)
		if err != nil {
			return nil, err
		}
		version, cfg.Product, cfg.Arch = channel.Version, channel.Product, channel.Arch
	}
	found, err := r.find(PromoteConfig{Version: version, Product: cfg.Product, Arch: cfg.Arch})
	if err != nil {
		return nil, err
	}
	if err := p.add(r, found, cfg.Channel); err != nil {
		return nil, err
	}
	release := &p.Releases[0]
	if len(release.Channels) == 0 {
		return nil, fmt.Errorf("version %s: %w", version, ErrNoChannel)
	}
	if cfg.Base != "" {
		all := release.Deltas
		release.Deltas = []manifests.Version{}
		for _, v := range all {
			if v == cfg.Base {
				release.Deltas = append(release.Deltas, v)
			}
		}
	}
	if (cfg.Base != "" || cfg.DeltaOnly) && len(release.Deltas) == 0 {
		if cfg.Base == "" {
			return nil, fmt.Errorf("any version to %s: %w", version, ErrNoDelta)
		}
		return nil, fmt.Errorf("version %s to %s: %w", cfg.Base, version, ErrNoDelta)
	}
	further := []string{manifests.StateFile, manifests.ProvenanceFile}
	if !cfg.DeltaOnly {
		further = append(further, manifests.ForInstallers()...)
	}
	p.addArtifacts(*release, further, !cfg.DeltaOnly)
	return p, nil
}

func (r *repository) findChannel(cfg ExportConfig) (manifests.Channel, error) {
	channels, err := r.channels()
	if err != nil {
		return manifests.Channel{}, err
	}
	var found []manifests.Channel
	for _, c := range channels {
		if c.Name == cfg.Channel && (cfg.Product == "" || c.Product == cfg.Product) && (cfg.Arch == "" || c.Arch == cfg.Arch) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return manifests.Channel{}, fmt.Errorf("channel %s: %w", cfg.Channel, ErrNoRelease)
	case 1:
		return found[0], nil
	}
	return manifests.Channel{}, fmt.Errorf("channel %s is of %s %s and of %s %s: %w",
		cfg.Channel, found[0].Product, found[0].Arch, found[1].Product, found[1].Arch, ErrAmbiguous)
}

// copyFile copies a file of the pack, and demands that it is what it has to be.
func (p *Pack) copyFile(ctx context.Context, f PackedFile, out io.Writer, step progress.Step) error {
	in, err := p.Open(f)
	if err != nil {
		return err
	}
	defer in.Close()
	sum := sha256.New()
	n, err := io.CopyBuffer(onlyWriter{io.MultiWriter(sum, out)}, progress.Reader(&contextReader{ctx, in}, step), make([]byte, 1<<20))
	if err != nil {
		return fmt.Errorf("copying %s: %w", f.Name, err)
	}
	if n != f.Size || manifests.Digest(sum.Sum(nil)) != f.Digest {
		return fmt.Errorf("%s is damaged: %w", f.Name, ErrBroken)
	}
	return nil
}

func (p *Pack) exportTar(ctx context.Context, path string, step progress.Step) error {
	if err := mayReplaceTar(path); err != nil {
		return err
	}
	work, err := newExporting(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer work.Remove()
	out, err := durable.Create(work.path)
	if err != nil {
		return err
	}
	defer out.Discard()
	w := tar.NewWriter(out)
	for _, f := range p.Files {
		h := tar.Header{
			Typeflag: tar.TypeReg, Name: f.Name, Size: f.Size, Mode: 0o644, Format: tar.FormatUSTAR,
			ModTime: time.Unix(p.Releases[0].release.Epoch, 0),
		}
		if err := w.WriteHeader(&h); err != nil {
			h.Format = tar.FormatGNU // for what is too large or too long for ustar
			if err := w.WriteHeader(&h); err != nil {
				return err
			}
		}
		if err := p.copyFile(ctx, f, w, step); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.Commit(path, 0o644)
}

// mayReplaceTar is nil when there is nothing at path or an export.
func mayReplaceTar(path string) error {
	f, _, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if first, err := tar.NewReader(f).Next(); err != nil || first.Name != exportFile {
		return fmt.Errorf("%s: %w", path, ErrNotExport)
	}
	return nil
}

func (p *Pack) exportFolder(ctx context.Context, path string, step progress.Step) error {
	path = filepath.Clean(path)
	if err := mayReplaceFolder(path); err != nil {
		return err
	}
	work, err := newExporting(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer work.Remove()
	folder := filepath.Join(work.path, "export")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	for _, f := range p.Files {
		target := filepath.Join(folder, filepath.FromSlash(f.Name))
		if err := durable.MakeFolder(filepath.Dir(target)); err != nil {
			return err
		}
		out, err := durable.Create(filepath.Dir(target))
		if err != nil {
			return err
		}
		if err := p.copyFile(ctx, f, out, step); err != nil {
			out.Discard()
			return err
		}
		if err := out.Commit(target, 0o644); err != nil {
			return err
		}
	}
	return replaceFolder(folder, path)
}

// mayReplaceFolder is nil when there is nothing at path, an empty folder, or an
// export and nothing else.
func mayReplaceFolder(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	labelled := false
	for _, entry := range entries {
		switch entry.Name() {
		case exportFile:
			labelled = true
		case metadataFolder, targetsFolder, artifactsFolder:
		default:
			return fmt.Errorf("%s holds %s: %w", path, entry.Name(), ErrNotExport)
		}
	}
	if !labelled {
		return fmt.Errorf("%s: %w", path, ErrNotExport)
	}
	return nil
}

// replaceFolder renames folder to path; what is there ends up under folder's
// name. A file system that cannot exchange two names has for a moment none at path.
func replaceFolder(folder, path string) error {
	err := unix.Renameat2(unix.AT_FDCWD, folder, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOENT) {
		err = os.Rename(folder, path)
	} else if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		err = swapFolders(folder, path)
	}
	if err != nil {
		return fmt.Errorf("putting %s into its place: %w", path, err)
	}
	return durable.SyncFolder(filepath.Dir(path))
}

// swapFolders exchanges two names in three steps, and undoes the first when the
// second does not work.
func swapFolders(folder, path string) error {
	aside := folder + "-old"
	if err := os.Rename(path, aside); err != nil {
		return err
	}
	if err := os.Rename(folder, path); err != nil {
		return errors.Join(err, os.Rename(aside, path))
	}
	return os.Rename(aside, folder)
}
