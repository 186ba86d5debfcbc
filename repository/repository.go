// Package repository makes and serves a repository: a static folder that hosts
// update themselves from.
//
//	metadata/           signed metadata (TUF), see package signing
//	metadata/root.json  a copy of the newest root, to bake into images
//	targets/            what the metadata lists: release.json, transport.json, channels
//	artifacts/ab/<hex>  everything else, by SHA-256: root images in zstd frames, UKIs
//
// Init begins one, Publish adds a release and moves a channel to it, Promote
// moves another channel, Attach puts beside a release what others attest of it,
// Retract forbids one to hosts that have not taken it, Refresh keeps the
// signatures young, List shows what is there, Check finds what is wrong with it,
// Handler serves it. Every change is one step for hosts: whatever it wrote before becomes visible when timestamp.json is renamed into
// place. A change that is cut anywhere leaves the old set, and may be run again.
package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/proa-os/proa/durable"
	"github.com/proa-os/proa/progress"
	"github.com/proa-os/proa/signing"
)

// What can keep a repository from being changed, for errors.Is.
var (
	ErrExists       = errors.New("there is a repository already")
	ErrNoRepository = errors.New("not a repository")
	ErrLocked       = errors.New("another command is changing the repository")
	ErrVersionTaken = errors.New("this version is published with other content")
	ErrDowngrade    = errors.New("a downgrade is not allowed")
	ErrNoRelease    = errors.New("no such release in the repository")
	ErrAmbiguous    = errors.New("which product and architecture is not said")
	ErrBroken       = errors.New("the release is broken")
)

// Config is what every change of a repository needs.
type Config struct {
	Dir       string            // the repository's folder; required
	Keys      signing.Keys      // to sign with; required
	Lifetimes signing.Lifetimes // of what is signed; nil means the defaults
	Now       func() time.Time  // nil means time.Now
	Progress  progress.Reporter // nil means silent
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Progress == nil {
		c.Progress = progress.Silent()
	}
	return c
}

const (
	metadataFolder  = "metadata"
	targetsFolder   = "targets"
	artifactsFolder = "artifacts"
	lockFile        = ".lock"
	timestampFile   = "timestamp.json"
	rootCopyFile    = "root.json"
)

// InitConfig is what Init needs.
type InitConfig struct {
	Config
	RootThreshold int // how many root keys must sign a root; at least 1
	// Root is a first root that is signed already, in place of one by Keys,
	// which then need not hold root keys; nil if Keys sign it.
	Root *signing.RootDraft
}

// Init makes a repository without releases in a folder that is missing, empty
// or what an interrupted Init left.
// Where it could not begin, because a key does not sign or a host would refuse the
// outcome, nothing is left.
func Init(ctx context.Context, cfg InitConfig) (err error) {
	cfg.Config = cfg.withDefaults()
	meta, err := cfg.metadata()
	if err != nil {
		return err
	}
	if err := checkVacant(cfg.Dir); err != nil {
		return err
	}
	defer removeIfFailed(cfg.Dir, &err)()
	for _, folder := range []string{metadataFolder, targetsFolder, artifactsFolder} {
		if err := durable.MakeFolder(filepath.Join(cfg.Dir, folder)); err != nil {
			return err
		}
	}
	unlock, err := lock(cfg.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	// Whoever held the lock may just have finished.
	if err := checkVacant(cfg.Dir); err != nil {
		return err
	}
	if err := durable.Clean(cfg.Dir); err != nil {
		return err
	}
	r := &repository{Config: cfg.Config, meta: meta}
	return r.commit(ctx, nil)
}

// removeIfFailed notes which folders are there. What it returns removes, after an
// error, those that were not, unless something is in them.
func removeIfFailed(dir string, failed *error) func() {
	missing := func(path string) bool {
		_, err := os.Lstat(path)
		return errors.Is(err, fs.ErrNotExist)
	}
	var made []string
	for _, folder := range []string{metadataFolder, targetsFolder, artifactsFolder} {
		if path := filepath.Join(dir, folder); missing(path) {
			made = append(made, path)
		}
	}
	whole := missing(dir)
	return func() {
		if *failed == nil {
			return
		}
		for _, path := range made {
			os.Remove(path)
		}
		// With something in it, it is one that an interrupted Init left, and has its lock.
		if entries, err := os.ReadDir(dir); whole && err == nil && len(entries) == 1 && entries[0].Name() == lockFile {
			os.Remove(filepath.Join(dir, lockFile))
			os.Remove(dir)
		}
	}
}

func (c InitConfig) metadata() (*signing.Metadata, error) {
	if c.Root != nil {
		return signing.NewMetadataUnder(c.Root)
	}
	return signing.NewMetadata(c.Keys, c.RootThreshold)
}

func checkVacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		switch entry.Name() {
		case metadataFolder, targetsFolder, artifactsFolder, lockFile:
		default:
			return fmt.Errorf("%s holds %s: want an empty folder or a new one", dir, entry.Name())
		}
	}
	for _, name := range []string{timestampFile, "2.root.json"} {
		if _, err := os.Lstat(filepath.Join(dir, metadataFolder, name)); err == nil {
			return fmt.Errorf("%s: %w", dir, ErrExists)
		}
	}
	return nil
}

// repository is one that is open and locked for a change.
type repository struct {
	Config
	meta *signing.Metadata
}

// open locks the repository, clears what an interrupted change left, and
// reads its metadata. The caller calls unlock at the end.
func open(cfg Config) (r *repository, unlock func(), err error) {
	cfg = cfg.withDefaults()
	if err := checkRepository(cfg.Dir); err != nil {
		return nil, nil, err
	}
	release, err := lock(cfg.Dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			release()
		}
	}()
	if err := durable.Clean(cfg.Dir); err != nil {
		return nil, nil, err
	}
	meta, err := readMetadata(cfg.Dir)
	if err != nil {
		return nil, nil, err
	}
	return &repository{Config: cfg, meta: meta}, release, nil
}

func checkRepository(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, metadataFolder, timestampFile)); err != nil {
		return fmt.Errorf("%s: %w: %w", dir, ErrNoRepository, err)
	}
	return nil
}

func readMetadata(dir string) (*signing.Metadata, error) {
	if err := checkRepository(dir); err != nil {
		return nil, err
	}
	meta, err := signing.OpenMetadata(os.DirFS(filepath.Join(dir, metadataFolder)))
	if err != nil {
		return nil, fmt.Errorf("reading the metadata of %s: %w", dir, err)
	}
	return meta, nil
}

// lock keeps other processes from changing the repository; the kernel lets go
// of it when this one ends, in whatever way.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", dir, ErrLocked)
		}
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}
