package ociregistry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/proa-os/proa/fetch/registry"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/repository"
	"github.com/proa-os/proa/signing"
)

// tagged is the manifest that has the tag; nil when there is none. It must be
// that of a repository.
func (p *push) tagged(ctx context.Context) ([]byte, error) {
	found, err := p.puller.Get(ctx, p.tag)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	_, _, err = registry.ParseManifest(found.Manifest)
	if errors.Is(err, registry.ErrNotRepository) {
		return nil, err
	}
	return found.Manifest, nil
}

// checkSuccession has a host that trusts what is tagged read the pack. What is
// tagged and is not there in full is trusted by nobody.
func (p *push) checkSuccession(ctx context.Context, pack *repository.Pack, tagged []byte, now time.Time) error {
	_, files, err := registry.ParseManifest(tagged)
	if err != nil {
		return nil
	}
	state := map[string][]byte{}
	for role, name := range newest(files) {
		content, err := p.read(ctx, files[name])
		if isMissing(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading what is tagged: %w", err)
		}
		state[string(role)+".json"] = content
	}
	if err := pack.CheckAsHost(ctx, state, now); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

// newest are the files of each role's metadata.
func newest(files map[string]registry.Descriptor) map[signing.Role]string {
	found, versions := map[signing.Role]string{signing.RoleTimestamp: "metadata/timestamp.json"}, map[signing.Role]int{}
	for name := range files {
		for _, role := range []signing.Role{signing.RoleRoot, signing.RoleSnapshot, signing.RoleTargets} {
			number, ok := strings.CutSuffix(name, "."+string(role)+".json")
			n, err := strconv.Atoi(strings.TrimPrefix(number, "metadata/"))
			if ok && err == nil && n > versions[role] {
				found[role], versions[role] = name, n
			}
		}
	}
	return found
}

// read reads a small blob.
func (p *push) read(ctx context.Context, d registry.Descriptor) ([]byte, error) {
	if d.Size > manifests.DocumentMost {
		return nil, fmt.Errorf("%d bytes: want at most %d", d.Size, manifests.DocumentMost)
	}
	layer, err := p.puller.Layer(ctx, p.tag.Context().Digest(d.Digest.String()))
	if err != nil {
		return nil, err
	}
	in, err := layer.Compressed() // the library checks the digest
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(io.LimitReader(in, manifests.DocumentMost+1))
}
