package builder

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"

	"github.com/proa-os/proa/builder/cache"
	"github.com/proa-os/proa/builder/content"
	"github.com/proa-os/proa/builder/inventory"
	"github.com/proa-os/proa/builder/provenance"
	"github.com/proa-os/proa/builder/sbom"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// description is what the documents of a release say of the tree.
type description struct {
	inventory inventory.Inventory
	sums      map[*tree.Node]sbom.Sums
}

// licenses remembers what inventory.Licenses says of the same texts: to find
// out takes longer than most of what an incremental build does besides.
func (b *build) licenses(ctx context.Context, texts []string) ([]string, error) {
	if b.Cache == nil || len(texts) == 0 {
		return inventory.Licenses(ctx, texts)
	}
	of := sha256.New()
	for _, text := range texts {
		sum := sha256.Sum256([]byte(text))
		of.Write(sum[:])
	}
	kept, err := b.Cache.Unpacked(ctx, b.store, manifests.Digest(of.Sum(nil)), "licenses 1", func(ctx context.Context, _ *content.Store) (cache.Unpacked, error) {
		found, err := inventory.Licenses(ctx, texts)
		if err != nil {
			return cache.Unpacked{}, err
		}
		about, err := json.Marshal(found)
		return cache.Unpacked{About: about}, err
	})
	if err != nil {
		return nil, err
	}
	var found []string
	if err := json.Unmarshal(kept.About, &found); err != nil {
		return nil, err
	}
	if len(found) != len(texts) {
		return nil, fmt.Errorf("the cache has the licences of %d packages: want %d", len(found), len(texts))
	}
	return found, nil
}

// describeTree begins to find out what is in the tree, which does not change
// any more.
func (b *build) describeTree(ctx context.Context) error {
	b.description = begin(b, func() (d description, err error) {
		if d.inventory, err = inventory.ReadWith(ctx, b.tree, b.licenses); err != nil {
			return d, err
		}
		d.sums, err = sbom.Hash(ctx, b.tree)
		return d, err
	})
	return nil
}

// writeDocuments writes what tells of the release, but for what tells of the
// documents, too.
func (b *build) writeDocuments(ctx context.Context) error {
	inputs, err := b.allInputs()
	if err != nil {
		return err
	}
	b.found = inputs
	if len(b.packages) > 0 {
		if err := b.writeJSON(manifests.ScriptsFile, b.scripts); err != nil {
			return err
		}
		b.digest(ctx, manifests.ScriptsFile)
	}
	step := b.Progress.Step("write bill of materials", 0)
	err = b.writeSBOM(ctx)
	step.Done(err)
	if err != nil {
		return err
	}
	b.digest(ctx, manifests.SBOMFile)
	return nil
}

func (b *build) writeSBOM(ctx context.Context) error {
	described, err := b.description.wait(ctx)
	if err != nil {
		return err
	}
	image, err := b.rootDigest.wait(ctx)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(b.path(manifests.SBOMFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriterSize(file, 1<<20)
	given := make([]sbom.Input, len(b.found))
	for i, in := range b.found {
		given[i] = sbom.Input(in)
	}
	err = sbom.Write(ctx, out, sbom.Config{
		Product:   b.Recipe.Product,
		Version:   string(b.Version),
		Arch:      string(b.Arch),
		Epoch:     b.Epoch,
		RootHash:  b.rootHash[:],
		Tool:      b.tool(),
		Inventory: described.inventory,
		Tree:      b.tree,
		Image:     image.Digest,
		Inputs:    given,
		Sums:      described.sums,
	})
	if err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return file.Close()
}

// tool is the program's name and version, as SPDX writes it.
func (b *build) tool() string {
	if b.Tool == "" {
		return "proa"
	}
	return "proa-" + b.Tool
}

// writeProvenance says how the artifacts so far were made.
func (b *build) writeProvenance(ctx context.Context) error {
	c := provenance.Config{
		Product:   b.Recipe.Product,
		Version:   b.Version,
		Arch:      b.Arch,
		Epoch:     b.Epoch,
		Recipe:    manifests.DigestOf(b.RecipeText),
		Inputs:    b.found,
		Artifacts: b.artifacts,
		Builder:   b.Builder,
		Tool:      b.Tool,
	}
	lock, err := b.lockDigest()
	if err != nil {
		return err
	}
	c.Lock = lock
	statement, err := provenance.Statement(c)
	if err != nil {
		return err
	}
	envelope, err := signing.Seal(signing.PayloadInToto, statement, b.Keys...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.path(manifests.ProvenanceFile), envelope, 0o644); err != nil {
		return err
	}
	b.digest(ctx, manifests.ProvenanceFile)
	return b.digestArtifacts(ctx)
}

// lockDigest is that of the lock that is followed; zero if there is none.
func (c Config) lockDigest() (manifests.Digest, error) {
	if len(c.Lock.Inputs)+len(c.Lock.Previous) == 0 {
		return manifests.Digest{}, nil
	}
	text, err := c.Lock.Encode()
	return manifests.DigestOf(text), err
}

func (b *build) writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(b.path(name), append(text, '\n'), 0o644)
}
