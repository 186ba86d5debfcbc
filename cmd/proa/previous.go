package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder/examine"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/filemap"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/repository"
)

// noPrevious is what --previous takes for a layout that follows no other.
const noPrevious = "none"

func addPreviousFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "previous", "", "release to follow in layout: its folder, REPOSITORY#VERSION, or none")
	cli.CompleteFolder(cmd, "previous")
}

// previousRelease is a release that another one follows in layout.
type previousRelease struct {
	manifests.LockedPrevious
	text []byte // its root.map
}

// readPrevious reads what --previous names, of some of a recipe's
// architectures: a folder holds one of them, a repository has to have all.
func readPrevious(place string, r manifests.Recipe, arches []manifests.Arch) ([]previousRelease, error) {
	if _, err := os.Stat(place); !errors.Is(err, fs.ErrNotExist) {
		p, err := readPreviousFolder(place, r)
		if err == nil && !slices.Contains(arches, p.Arch) {
			err = fmt.Errorf("it is for %s: want %v", p.Arch, arches)
		}
		if err != nil {
			return nil, fmt.Errorf("--previous %.200q: %w", place, err)
		}
		return []previousRelease{p}, nil
	}
	cut := strings.LastIndexByte(place, '#')
	if cut < 0 {
		return nil, fmt.Errorf("--previous %.200q: %w", place, fs.ErrNotExist)
	}
	version, err := manifests.ParseVersion(place[cut+1:])
	if err != nil {
		return nil, fmt.Errorf("--previous %.200q: %w", place, err)
	}
	var all []previousRelease
	for _, arch := range arches {
		config := repository.ExtractConfig{Dir: place[:cut], Version: version, Product: r.Product, Arch: arch}
		release, text, err := repository.Kept(config, manifests.RootMapFile, filemap.BytesMost)
		if err != nil {
			return nil, repoHint(fmt.Errorf("--previous %.200q: %w", place, err))
		}
		all = append(all, newPreviousRelease(release, text))
	}
	return all, nil
}

func readPreviousFolder(folder string, r manifests.Recipe) (previousRelease, error) {
	release, err := examine.ReadRelease(folder)
	if err != nil {
		return previousRelease{}, err
	}
	if release.Product != r.Product {
		return previousRelease{}, fmt.Errorf("it is of %s: want %s", release.Product, r.Product)
	}
	text, err := regular.Read(filepath.Join(folder, manifests.RootMapFile), filemap.BytesMost)
	if err != nil {
		return previousRelease{}, err
	}
	p := newPreviousRelease(release, text)
	if a, ok := release.Artifact(manifests.RootMapFile); !ok || a.Digest != p.Map.Digest {
		return previousRelease{}, fmt.Errorf("%s is not what the release lists", manifests.RootMapFile)
	}
	return p, nil
}

func newPreviousRelease(release manifests.Release, text []byte) previousRelease {
	return previousRelease{manifests.LockedPrevious{
		Arch:    release.Arch,
		Version: release.Version,
		Map:     manifests.FetchFile{Size: int64(len(text)), Digest: manifests.DigestOf(text)},
	}, text}
}

// follow makes the recipe's lock name what --previous says, and keeps the maps
// in the cache, where builds from that lock find them. An empty place leaves the
// lock alone.
func (r *recipe) follow(ctx context.Context, in inputs, place string, arches []manifests.Arch) error {
	before := r.lock
	switch place {
	case "":
		return nil
	case noPrevious:
		for _, arch := range arches {
			r.lock = r.lock.WithoutPrevious(arch)
		}
	default:
		read, err := readPrevious(place, r.Recipe, arches)
		if err != nil {
			return err
		}
		for _, p := range read {
			keep := func(_ context.Context, partial string) error { return os.WriteFile(partial, p.text, 0o644) }
			if _, err := in.cache.Fill(ctx, p.Map, keep); err != nil {
				return err
			}
			r.lock = r.lock.WithPrevious(p.LockedPrevious)
		}
	}
	r.follows = !slices.Equal(before.Previous, r.lock.Previous)
	return nil
}

// previous is the map that the lock names for an architecture; nil where it
// names none, or where the cache has lost it.
func (r *recipe) previous(in inputs, arch manifests.Arch) ([]byte, error) {
	p, ok := r.lock.PreviousOf(arch)
	if !ok {
		return nil, nil
	}
	path, ok := in.cache.Blob(p.Map.Digest)
	if !ok {
		return nil, nil
	}
	return regular.Read(path, filemap.BytesMost)
}
